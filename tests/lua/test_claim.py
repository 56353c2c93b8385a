"""claim.lua: which job it takes, what it writes, when it says that there is more."""

from __future__ import annotations

import pytest

from queueops.engine.rules.gates import Limits
from tests.engine.world import PATIENCE_MS, QUEUE, World


def test_a_lease_is_one_record_and_the_slots_are_counted(world: World) -> None:
    [job] = world.enqueue("acme")
    world.clock.advance(ms=40)

    claim = world.claim(free=1, holder="w1")

    [leased] = claim.jobs
    assert not claim.more
    assert leased.token == "w1/2/1"
    assert (leased.queue, leased.tag, leased.org, leased.resource) == (QUEUE, job.tag, "acme", "")
    assert (leased.task, leased.task_id, leased.message) == (job.task, job.task_id, job.message)
    assert (leased.deliveries, leased.claimed_ms, leased.rank_ms) == (
        1,
        world.now,
        job.first_ms + PATIENCE_MS,
    )
    assert not leased.limited and not leased.once
    record = f"standard\tt0001\tacme\t\ttasks.work\tid1\t40\t100\t0\t{leased.rank_ms}\t{world.now}\t1\t0\t"
    keys = world.keyspace()
    assert keys["qo1:held:w1"] == {leased.token: record}
    assert keys["qo1:holders"] == {"w1": world.now + 30_000}
    assert keys["qo1:org:standard:acme"] == {"v": "100", "n": "1", "a": "1", "l": "", "c": "", "t": "0"}
    queue = {
        "V": "0",
        "W": "1",
        "A": "1",
        "n": "1",
        "o": "0",
        "enqueued": "1",
        "claimed": "1",
        "wait_ms": "40",
    }
    assert keys["qo1:queue:standard"] == queue
    assert not keys.keys() & {QUEUE, "qo1:lane:standard::acme", "qo1:ring:standard:", "qo1:rings:standard"}
    assert keys["qo1:job:standard:t0001"], "the job stays until its lease ends"


def test_an_empty_claim_writes_nothing(world: World) -> None:
    claim = world.claim()

    assert (claim.jobs, claim.more, claim.wait_ms) == ([], False, 1000)
    assert world.keyspace() == {}


def test_rank_orders_one_orgs_jobs_by_priority_age_and_deadline(world: World) -> None:
    low = world.job("acme", patience_ms=3_000_000)
    late = world.job("acme", patience_ms=9_000_000)
    deadline = world.job("acme", patience_ms=9_000_000, deadline_ms=world.now + 500)
    normal = world.job("acme", patience_ms=1_200_000)
    critical = world.job("acme", patience_ms=0)
    world.store.enqueue(QUEUE, [late, low, normal, deadline, critical], now_ms=world.now)
    world.clock.advance(ms=1_800_000)
    aged = world.job(
        "acme", patience_ms=1_200_000
    )  # as urgent as the low one that waited half an hour: tag decides
    world.store.enqueue(QUEUE, [aged], now_ms=world.now)

    order = [job.tag for job in world.take(6)]

    assert order == [job.tag for job in (critical, deadline, normal, low, aged, late)]


def test_equal_ranks_run_in_the_order_of_their_tags(world: World) -> None:
    jobs = world.enqueue("acme", number=30)

    assert [job.tag for job in world.take(30)] == [job.tag for job in jobs]


def test_the_rank_of_a_scheduled_job_counts_from_its_time(world: World) -> None:
    world.enqueue("acme", due_ms=world.now + 60_000, tag="scheduled-before")
    world.clock.advance(seconds=50)
    world.enqueue("acme", tag="enqueued-later")
    world.clock.advance(seconds=20)

    assert [job.tag for job in world.take(2)] == ["enqueued-later", "scheduled-before"]


def test_an_orgs_lanes_are_served_by_rank_across_resources(world: World) -> None:
    first = world.job("acme", resource="mail", patience_ms=5)
    second = world.job("acme", patience_ms=10)
    third = world.job("acme", resource="sms", patience_ms=15)
    fourth = world.job("acme", resource="mail", patience_ms=20)
    world.store.enqueue(QUEUE, [fourth, third, second, first], now_ms=world.now)

    assert [world.one().tag for _ in range(2)] == [first.tag, second.tag]
    assert [job.tag for job in world.take(2)] == [third.tag, fourth.tag]
    assert world.take(1) == []
    assert "qo1:rings:standard" not in world.keyspace()


def test_many_resources_are_found_over_more_rings_than_are_read_at_once(world: World) -> None:
    for number in range(30):
        world.enqueue(f"org{number % 3}", resource=f"r{number}")

    assert len(world.take(30)) == 30
    assert world.take(1) == []


def test_orgs_take_turns_whatever_their_backlog(world: World) -> None:
    world.enqueue("many", number=200)
    world.enqueue("few", number=3)

    orgs = [world.one().org for _ in range(6)]

    assert orgs == ["few", "many", "few", "many", "few", "many"]


def test_turns_are_the_same_in_one_claim_and_in_many(world: World) -> None:
    for org, number in (("a", 50), ("b", 20), ("c", 5)):
        world.enqueue(org, number)
    orgs = [job.org for job in world.take(30)]

    assert orgs[:15] == ["a", "b", "c"] * 5
    assert orgs[15:] == ["a", "b"] * 7 + ["a"]


def test_more_orgs_than_a_window_holds_all_get_their_turn(world: World) -> None:
    for number in range(150):
        world.enqueue(f"org{number:03}", number=3)

    first = world.take(150)
    assert len({job.org for job in first}) == 150
    second = world.take(150)
    assert len({job.org for job in second}) == 150


def test_jobs_ahead_of_slots_are_never_of_an_org_near_its_limit(world: World) -> None:
    world.store.set_limits(QUEUE, {"capped": Limits(max_in_flight=3)}, now_ms=world.now)
    world.enqueue("capped", number=3)
    world.bell()

    claim = world.claim(free=1, ahead=4)

    assert [job.limited for job in claim.jobs] == [True]
    assert world.bell(), "another worker has a slot for what this one left"


@pytest.mark.parametrize(
    "limits",
    [
        Limits(max_in_flight=20),
        Limits(rpm=60, burst=20),
        Limits(share=0.5),
        Limits(max_in_flight=20, rpm=600, burst=400),
    ],
)
def test_a_quarter_of_a_limit_may_be_claimed_ahead(world: World, limits: Limits) -> None:
    world.store.set_queue(QUEUE, concurrency=40, now_ms=world.now)
    world.store.set_limits(QUEUE, {"capped": limits}, now_ms=world.now)
    world.enqueue("capped", number=12)

    claim = world.claim(free=1, ahead=12)

    assert [job.limited for job in claim.jobs] == [False] * 5
    [next_one] = world.take(1)
    assert next_one.limited, "of its end others hear at once"
    assert world.claim(0, ahead=1).jobs == []
    if limits.rpm and not limits.max_in_flight:
        world.clock.advance(ms=2_000)
        assert len(world.claim(0, ahead=12).jobs) == 1, "two tokens came, and one is left of the quarter"
    world.settle(*claim.jobs)
    if not limits.rpm:
        assert len(world.claim(0, ahead=12).jobs) == 4


def test_a_claim_that_is_full_rings_for_the_next_worker(world: World) -> None:
    world.enqueue("acme", number=3)
    world.bell()

    world.take(2)
    assert world.bell()
    world.take(1)
    assert not world.bell(), "nothing is left"


def test_a_claim_rings_for_queues_it_did_not_come_to(world: World) -> None:
    world.enqueue("acme", queue="critical")
    world.enqueue("acme", queue="bulk")
    world.bell("critical")
    world.bell("bulk")

    assert world.one(queues=("critical", "bulk")).queue == "critical"

    assert world.bell("bulk")
    assert not world.bell("critical")


def test_a_claim_for_no_job_takes_none(world: World) -> None:
    world.enqueue("acme")

    claim = world.claim(free=0)

    assert claim.jobs == []
    assert world.queue().ready == 1


def test_a_claim_serves_its_queues_in_the_order_given(world: World) -> None:
    world.enqueue("acme", number=2, queue="bulk")
    world.enqueue("acme", number=2, queue="critical")

    claim = world.claim(free=3, queues=("critical", "bulk"))

    assert [job.queue for job in claim.jobs] == ["critical", "critical", "bulk"]


def test_one_call_takes_five_hundred_jobs_at_most(world: World) -> None:
    world.enqueue("acme", number=700)

    assert len(world.claim(free=700).jobs) == 500
    assert len(world.claim(free=700).jobs) == 200


def test_a_consumer_that_does_not_acknowledge_gets_jobs_without_leases(world: World) -> None:
    world.enqueue("a", number=4)
    world.enqueue("b", number=2)

    claim = world.claim(free=6, forget=True)

    assert [job.org for job in claim.jobs] == ["a", "b", "a", "b", "a", "a"]
    keys = world.keyspace()
    assert not [key for key in keys if key.startswith(("qo1:held", "qo1:job", "qo1:ids", "qo1:holders"))]
    assert keys["qo1:queue:standard"]["succeeded"] == "6"
    assert float(keys["qo1:queue:standard"]["W"]) == 0
    assert world.take(1) == []


def test_a_job_whose_text_was_deleted_by_hand_is_passed_over(world: World) -> None:
    first, second = world.enqueue("acme", number=2)
    world.client.delete(world.store.key("job", queue=QUEUE, tag=first.tag))

    assert world.one().tag == second.tag
    assert world.queue().ready == 0


def test_a_job_that_can_not_be_read_becomes_a_dead_letter(world: World) -> None:
    first, second = world.enqueue("acme", number=2)
    world.client.set(world.store.key("job", queue=QUEUE, tag=first.tag), "nonsense")

    assert world.one().tag == second.tag

    [letter] = world.store.dead_read()
    assert (letter.tag, letter.detail["reason"], letter.message) == (first.tag, "undecodable", "nonsense")
    assert letter.org == ""


def test_throttled_orgs_at_the_head_are_passed_over_in_one_answer(world: World) -> None:
    # Looked at once when they close; an open org behind them is reached by asking again at once.
    world.store.set_limits(QUEUE, {f"slow{n}": Limits(rpm=1) for n in range(150)}, now_ms=world.now)
    for number in range(150):
        world.enqueue(f"slow{number}", number=2)
    assert len(world.take(150)) == 150
    world.enqueue("open", number=5)

    claim = world.claim(free=1)

    assert [job.org for job in claim.jobs] == ["open"], (
        "the throttled orgs left the ring when their rate was used up"
    )
    assert world.queue().orgs_waiting == 151


def test_a_claim_stopped_at_its_bound_says_more(world: World) -> None:
    for number in range(150):
        world.enqueue(f"slow{number:03}")
    world.store.set_limits(
        QUEUE, {f"slow{n:03}": Limits(max_in_flight=0) for n in range(150)}, now_ms=world.now
    )
    world.enqueue("zz-open")
    world.bell()

    answers = [world.claim(free=1) for _ in range(3)]

    assert [(len(answer.jobs), answer.more) for answer in answers] == [(0, True), (0, True), (1, False)]


@pytest.mark.parametrize("fair_by", ["time", "count"])
def test_what_a_job_is_charged(world: World, fair_by: str) -> None:
    world.store.set_queue(QUEUE, fair_by=fair_by, now_ms=world.now)
    world.store.set_limits(QUEUE, {"acme": Limits(weight=4)}, now_ms=world.now)
    world.enqueue("acme", number=2)

    world.one()

    assert world.org().virtual_time_ms == (25 if fair_by == "time" else 0.25)
