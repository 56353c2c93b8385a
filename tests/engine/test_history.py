"""What ended, in counters a minute and an hour and in bounded lists."""

from __future__ import annotations

import pytest

from queueops.engine.history import FOLD
from queueops.engine.rules.histogram import BOUNDS_MS, EMPTY, counted, percentile
from queueops.engine.types import Leased, Settlement
from tests.engine.world import QUEUE, World

MINUTE_MS, HOUR_MS = 60_000, 3_600_000


def run(
    world: World, number: int = 1, run_ms: float = 100, outcome: str = "succeeded", **fields: object
) -> None:
    """Enqueue, claim and end so many jobs."""
    world.enqueue(number=number, **fields)  # type: ignore[arg-type]
    world.settle(*world.take(number), run_ms=run_ms, outcome=outcome)  # type: ignore[arg-type]


def minutes(world: World, task: str = "", queue: str | None = QUEUE, count: int = 60) -> list[int]:
    """How many ended in each of the last minutes."""
    return [b.ended for b in world.store.history(queue, task, minutes=count, now_ms=world.now)]


def test_an_attempt_is_counted_in_its_minute_and_hour_by_task_and_in_all(world: World) -> None:
    world.enqueue(task="shop.mail")
    world.clock.advance(ms=300)
    [job] = world.take(1)
    world.clock.advance(ms=40)
    world.settle(job, run_ms=12.3456)
    run(world, 2, 7000, task="shop.pay")

    for span in ({"minutes": 1}, {"hours": 1}):
        [mail] = world.store.history(QUEUE, "shop.mail", now_ms=world.now, **span)
        assert (mail.ended, mail.succeeded, mail.failed) == (1, 1, 0)
        assert (mail.wait_ms, mail.run_ms) == (300, 12.346)
        assert (mail.wait, mail.run) == (counted([300]), counted([12.3456]))
        [all_] = world.store.history(QUEUE, now_ms=world.now, **span)
        assert (all_.ended, all_.run_ms) == (3, 14_012.346)
        assert all_.run == counted([12, 7000, 7000])
        assert world.store.history("bulk", now_ms=world.now, **span)[0].ended == 0
    assert world.store.tasks(QUEUE, now_ms=world.now) == ["shop.mail", "shop.pay"]
    assert world.store.tally(QUEUE, now_ms=world.now).ended.run == counted([12, 7000, 7000])


@pytest.mark.parametrize("ms", [0.4, 1, 1.5, 100, 100.1, 600_000, 600_001, 10**9])
def test_a_bound_belongs_to_its_bucket(world: World, ms: float) -> None:
    run(world, run_ms=ms)

    assert world.store.history(QUEUE, minutes=1, now_ms=world.now)[0].run == counted([ms])


def test_every_outcome_is_told_apart_and_what_did_not_run_is_no_run(world: World) -> None:
    run(world, 3)
    run(world, 2, outcome="dead")
    run(world, 1, outcome="cancelled", run_ms=0)
    world.enqueue(number=2)
    first, second = world.take(2)
    world.store.release([first.token], lost=True, now_ms=world.now)
    world.clock.advance(ms=250)
    retry(world, second, error="Timeout", error_message="took\ttoo\nlong", run_ms=180)
    [third] = world.take(1)
    retry(world, third)

    [bucket] = world.store.history(QUEUE, minutes=1, now_ms=world.now)

    assert (bucket.ended, bucket.succeeded) == (9, 3)
    assert (bucket.dead, bucket.cancelled, bucket.lost, bucket.retried) == (2, 1, 1, 2)
    assert bucket.failed == 4, "a task that asks for another attempt without an error has not failed"
    assert sum(bucket.wait) == 9
    assert sum(bucket.run) == 6, "cancelled, lost, and the retry that took no time, have no run"
    assert bucket.run[sum(bound < 180 for bound in BOUNDS_MS)] == 1


def retry(world: World, job: Leased, **told: object) -> None:
    """Publish the next attempt of a job."""
    again = world.job(job.org, task=job.task, supersedes=job.token, due_ms=world.now + 10**8, **told)  # type: ignore[arg-type]
    assert world.store.enqueue(job.queue, [again], now_ms=world.now) == ["scheduled"]


def test_buckets_come_oldest_first_and_all_queues_are_summed(world: World) -> None:
    run(world, 2)
    world.clock.advance(ms=MINUTE_MS)
    run(world, 1)
    world.enqueue(queue="bulk")
    world.settle(world.one(queues=("bulk",)))
    world.clock.advance(ms=MINUTE_MS)

    assert minutes(world, count=4) == [0, 2, 1, 0]
    assert minutes(world, queue=None, count=3) == [2, 2, 0]
    assert minutes(world, task="tasks.work", count=3) == [2, 1, 0]
    starts = [b.start_ms for b in world.store.history(QUEUE, minutes=2, now_ms=world.now)]
    assert starts == [(world.now // MINUTE_MS - 1) * MINUTE_MS, world.now // MINUTE_MS * MINUTE_MS]
    assert [b.ended for b in world.store.history(None, hours=1, now_ms=world.now)] == [4]


def test_the_lists_tell_each_attempt_newest_first(world: World) -> None:
    world.enqueue("acme", resource="mail", attempt=2, task_id="first")
    world.clock.advance(ms=20)
    world.settle(world.one(), run_ms=1.5)
    world.clock.advance(ms=1)
    world.enqueue("beta", task="shop.pay", task_id="second")
    detail = {"error": "Declined", "message": "no\tfunds\nat all", "traceback": "..."}
    world.settle(world.one(), run_ms=30, outcome="dead", detail=detail)

    second, first = world.store.recent("settled", 10, now_ms=world.now)

    assert (first.task_id, first.org, first.resource, first.outcome) == ("first", "acme", "mail", "succeeded")
    assert (first.wait_ms, first.run_ms, first.attempt, first.deliveries) == (20, 1.5, 3, 1)
    assert (first.ended_ms, first.claimed_ms) == (world.now - 1, world.now - 1)
    assert (second.task, second.outcome, second.queue) == ("shop.pay", "dead", QUEUE)
    [failed] = world.store.recent("failed", 10, QUEUE, now_ms=world.now)
    assert (failed.task_id, failed.error, failed.message) == ("second", "Declined", "no funds")
    assert [e.task_id for e in world.store.recent("slow", 10, now_ms=world.now)] == ["second", "first"]
    assert [e.task_id for e in world.store.recent("settled", 1, now_ms=world.now)] == ["second"]


def test_a_retried_and_a_lost_attempt_are_among_the_failures(world: World) -> None:
    world.enqueue(number=2)
    first, second = world.take(2)
    retry(world, first, error="Timeout", error_message="took\ttoo\nlong", run_ms=180)
    world.clock.advance(ms=1)
    world.store.release(
        [second.token], lost=True, detail={"error": "WorkerLost", "message": "gone"}, now_ms=world.now
    )

    lost, retried = world.store.recent("failed", 10, now_ms=world.now)

    assert (retried.outcome, retried.error, retried.message) == ("retried", "Timeout", "took too long")
    assert retried.run_ms == 180
    assert (lost.outcome, lost.error, lost.message) == ("lost", "WorkerLost", "gone")
    [bucket] = world.store.history(QUEUE, minutes=1, now_ms=world.now)
    assert bucket.errors == {"Timeout": 1, "WorkerLost": 1}
    assert bucket.last_seen_ms == {"Timeout": world.now - 1, "WorkerLost": world.now}


@pytest.mark.parametrize(
    "detail", [{}, {"error": None, "message": 3}, {"reason": "expired"}, {"error": "é" * 300}]
)
def test_a_failure_is_told_whatever_its_detail_holds(world: World, detail: dict[str, object]) -> None:
    run(world, outcome="dead")
    world.enqueue()
    world.settle(world.one(), outcome="dead", detail=detail)

    assert len(world.store.recent("failed", 5, now_ms=world.now)) == 2
    assert sum(world.store.history(QUEUE, minutes=1, now_ms=world.now)[0].errors.values()) == 2


def test_the_lists_are_bounded_and_keep_the_newest(world: World) -> None:
    for _ in range(25):
        jobs = world.enqueue(number=500)
        held = world.take(500)
        world.settle(*held[:400])
        world.settle(*held[400:], outcome="dead", detail={"error": "E", "message": jobs[-1].task_id})

    keys = world.keyspace()

    assert 10_000 <= len(keys["qo1:settled:standard"]) <= 10_000 + 2 * FOLD
    assert 1_000 <= len(keys["qo1:failures:standard"]) <= 1_200
    assert len(keys[f"qo1:slowest:standard:{world.now // HOUR_MS}"]) == 50
    assert world.store.recent("failed", 1, now_ms=world.now)[0].message == jobs[-1].task_id
    assert minutes(world, count=1) == [12_500]
    ever = world.store.tally(QUEUE, now_ms=world.now).ended
    assert (ever.ended, ever.dead, ever.failed) == (12_500, 2_500, 2_500)
    assert (sum(ever.wait), sum(ever.run)) == (12_500, 12_500)


def test_the_slowest_of_the_hour_stay_and_the_next_hour_begins_anew(world: World) -> None:
    world.enqueue(number=400)
    world.store.settle(
        [Settlement(job.token, "succeeded", 1 + n * 7 % 400) for n, job in enumerate(world.take(400))],
        now_ms=world.now,
    )
    assert [e.run_ms for e in world.store.recent("slow", 50, now_ms=world.now)] == list(range(400, 350, -1))

    world.clock.advance(ms=HOUR_MS)
    run(world, run_ms=3)

    assert [ended.run_ms for ended in world.store.recent("slow", 3, now_ms=world.now)] == [3]
    found = world.store.recent("slow", 3, hours=2, now_ms=world.now)
    assert [ended.run_ms for ended in found] == [400, 399, 398]

    world.clock.advance(ms=23 * HOUR_MS)
    assert [ended.run_ms for ended in world.store.recent("slow", 1, hours=25, now_ms=world.now)] == [400]


def test_what_is_counted_and_what_is_not_yet_make_one_number(world: World) -> None:
    ended = 0
    for number in (1, 254, 1, 1, 255, 1, 300, 7, 500):
        run(world, number, 20)
        ended += number
        [now] = world.store.history(QUEUE, minutes=1, now_ms=world.now)
        assert (now.ended, sum(now.wait), sum(now.run), now.run_ms) == (ended, ended, ended, 20.0 * ended)
        assert world.store.history(QUEUE, "tasks.work", hours=1, now_ms=world.now)[0].ended == ended
        assert world.store.tally(QUEUE, now_ms=world.now).ended.ended == ended


def test_counters_of_a_task_go_on_over_hours_and_the_counting_of_lines(world: World) -> None:
    total = 0
    for number in (300, 10, 256, 3, 600):
        run(world, number, 20, task="shop.pay")
        total += number
        tally = world.store.tally(QUEUE, now_ms=world.now)
        assert (tally.tasks["shop.pay"].ended, sum(tally.tasks["shop.pay"].run)) == (total, total)
        assert tally.ended.ended == total
        world.clock.advance(ms=HOUR_MS)

    run(world, 256, outcome="dead", task="shop.pay", run_ms=1)
    world.clock.advance(ms=2 * HOUR_MS)
    run(world, 256, task="shop.pay")
    assert world.store.tally(QUEUE, now_ms=world.now).tasks["shop.pay"].errors == {"unknown": 256}
    world.clock.advance(ms=9 * 24 * HOUR_MS)
    assert world.store.tally(QUEUE, now_ms=world.now).tasks == {}, "nothing of it has ended for eight days"


def test_lines_that_wait_to_be_counted_belong_to_their_own_minute(world: World) -> None:
    run(world, 5)
    world.clock.advance(ms=3 * MINUTE_MS)
    run(world, 300)

    assert minutes(world, count=4) == [5, 0, 0, 300]
    world.clock.advance(ms=10 * HOUR_MS)
    run(world, 400)
    hours = [bucket.ended for bucket in world.store.history(QUEUE, hours=11, now_ms=world.now)]
    assert hours == [305, *[0] * 9, 400]
    old = world.now // MINUTE_MS - 600
    assert f"qo1:minute:standard:{old}:" in world.keyspace(), "counted in its hour"
    world.enqueue(number=200)
    held = world.take(200)
    world.clock.advance(ms=200 * HOUR_MS)
    world.settle(*held)
    assert [b.ended for b in world.store.history(QUEUE, hours=2, now_ms=world.now)] == [0, 200]


def test_names_without_end_count_together(world: World) -> None:
    run(world, FOLD, task="known")
    for start in range(0, 600, 100):
        world.enqueue(number=1, task="known")
        for number in range(start, start + 100):
            world.enqueue(task=f"task.{number}")
        world.settle(*world.take(101))

    tasks = world.store.tasks(QUEUE, now_ms=world.now)
    assert 200 <= len(tasks) <= 201 + FOLD and "other" in tasks
    found = world.store.histories([(QUEUE, task) for task in tasks], hours=1, now_ms=world.now)
    assert sum(bucket.ended for [bucket] in found) == FOLD + 606
    assert world.store.history(QUEUE, "known", hours=1, now_ms=world.now)[0].ended == FOLD + 6
    assert len([key for key in world.keyspace() if key.startswith("qo1:hour:")]) <= 202
    assert len([key for key in world.keyspace() if key.startswith("qo1:minute:")]) <= 202

    world.clock.advance(ms=200 * HOUR_MS)
    run(world, task="new")
    assert world.store.tasks(QUEUE, now_ms=world.now) == ["new"]


def test_the_errors_of_a_series_are_bounded(world: World) -> None:
    for start in range(0, 1024, 256):
        world.enqueue(number=256)
        details = [{"error": f"Error{start + number}"} for number in range(256)]
        jobs = world.take(256)
        items = [Settlement(job.token, "dead", 1, told) for job, told in zip(jobs, details, strict=True)]
        world.store.settle(items, now_ms=world.now)

    [bucket] = world.store.history(QUEUE, minutes=1, now_ms=world.now)

    assert sum(bucket.errors.values()) == 1024
    assert len(bucket.errors) < 160 and bucket.errors["other"] > 800


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.95, 1])
def test_a_percentile_is_within_its_bucket(share: float) -> None:
    durations = [0.5 + number for number in range(1000)]
    counts = counted(durations)

    found = percentile(counts, share)

    exact = durations[min(999, int(share * 1000))]
    within = sum(bound < exact for bound in BOUNDS_MS)
    lower = BOUNDS_MS[within - 1] if within else 0
    assert found is not None and lower <= found <= BOUNDS_MS[within]


def test_percentiles_of_nothing_and_beyond_the_last_bound() -> None:
    assert percentile(EMPTY, 0.5) is None
    assert percentile(counted([10**7]), 0.5) == 600_000
