"""What the scripts tell of jobs while somebody listens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from queueops.engine.events import KINDS
from tests.engine.world import QUEUE, World

LISTEN_MS = 10_000


class Follower:
    """Reads what was told since the last time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.after = world.store.listen(LISTEN_MS, now_ms=world.now)

    def events(self) -> list[Any]:
        found = self.world.store.events(self.after)
        if found:
            self.after = found[-1].id
        return found

    def kinds(self) -> list[tuple[str, str]]:
        return [(event.kind, event.task_id) for event in self.events()]

    def one(self) -> Any:
        [event] = self.events()
        return event


@pytest.fixture
def follower(world: World) -> Follower:
    world.beat()
    return Follower(world)


def test_nothing_is_told_when_nobody_listens(world: World) -> None:
    world.enqueue("acme")
    world.settle(world.one())

    assert not world.client.exists(world.store.key("events"))


def test_a_job_is_told_from_its_enqueue_to_its_success(world: World, follower: Follower) -> None:
    [job] = world.enqueue("acme")
    enqueued = follower.one()
    world.clock.advance(ms=250)
    leased = world.one("w7")
    started = follower.one()
    world.settle(leased, run_ms=40.5)
    succeeded = follower.one()

    for event in (enqueued, started, succeeded):
        assert (event.task_id, event.task, event.queue, event.org) == (job.task_id, job.task, QUEUE, "acme")
    assert (enqueued.kind, enqueued.at_ms) == ("enqueued", world.now - 250)
    assert enqueued.data == {"state": "ready", "attempt": 1}
    assert (started.kind, started.at_ms) == ("started", world.now)
    assert started.data == {"attempt": 1, "worker": "w7", "wait_ms": 250}
    assert succeeded.kind == "succeeded"
    assert succeeded.data == {"attempt": 1, "run_ms": 40.5, "wait_ms": 250, "worker": "w7"}


def test_a_job_of_many_is_told_like_one_alone(world: World, follower: Follower) -> None:
    jobs = world.enqueue("acme", number=30)
    world.settle(*world.take(30))

    told = follower.kinds()
    for kind in ("enqueued", "started", "succeeded"):
        assert [task for name, task in told if name == kind] == [job.task_id for job in jobs]
    assert len(told) == 90


def test_a_scheduled_job_is_told_with_its_time(world: World, follower: Follower) -> None:
    world.enqueue("acme", due_ms=world.now + 5000)

    event = follower.one()
    assert event.kind == "enqueued"
    assert event.data == {"state": "scheduled", "attempt": 1, "due_at": world.now + 5000}


def test_a_retry_is_told_with_its_attempt_its_time_and_the_error(world: World, follower: Follower) -> None:
    [job] = world.enqueue("acme")
    leased = world.one()
    follower.events()
    retry = world.job(
        task_id=job.task_id,
        attempt=1,
        due_ms=world.now + 2000,
        supersedes=leased.token,
        run_ms=12.5,
        error="Timeout",
        error_message="no answer",
    )
    world.store.enqueue(QUEUE, [retry], now_ms=world.now)

    event = follower.one()
    assert (event.kind, event.task_id) == ("retrying", job.task_id)
    assert event.data == {
        "state": "scheduled",
        "attempt": 2,
        "retry_at": world.now + 2000,
        "run_ms": 12.5,
        "error": "Timeout",
        "message": "no answer",
    }


def test_a_death_is_told_with_its_error(world: World, follower: Follower) -> None:
    [job] = world.enqueue("acme")
    leased = world.one()
    follower.events()
    detail = {"reason": "failed", "error": "ValueError", "message": "no\nsecond line", "worker": "w@h"}
    world.settle(leased, outcome="dead", detail=detail)

    event = follower.one()
    assert (event.kind, event.task_id, event.org) == ("dead", job.task_id, "acme")
    assert event.data == {"reason": "failed", "error": "ValueError", "message": "no", "worker": "w@h"}


def test_a_job_that_was_never_claimed_dies_aloud(world: World, follower: Follower) -> None:
    world.enqueue("acme", deadline_ms=world.now + 100, expires_late=True)
    world.clock.advance(ms=500)
    world.take(1)

    assert [kind for kind, _ in follower.kinds()] == ["enqueued", "dead"]


def test_a_job_that_its_worker_gives_back_is_released(world: World, follower: Follower) -> None:
    world.enqueue("acme")
    leased = world.one("w3")
    follower.events()
    world.store.release([leased.token], delay_ms=700, now_ms=world.now)

    event = follower.one()
    assert (event.kind, event.task_id) == ("released", leased.task_id)
    assert event.data == {"attempt": 1, "worker": "w3", "deliveries": 0, "due_at": world.now + 700}


def test_a_job_of_a_silent_worker_is_recovered(world: World, follower: Follower) -> None:
    world.enqueue("acme")
    leased = world.one("w3")
    world.beat_for(32)
    follower.world.store.listen(LISTEN_MS, now_ms=world.now)

    # Nobody renewed the listening, so the reaping itself was not told.
    assert world.queue().leased == 0
    world.take(1, "w4")
    follower.events()
    for _ in range(40):
        world.clock.advance(seconds=1)
        world.store.listen(LISTEN_MS, now_ms=world.now)
        world.beat()
    event = follower.one()
    assert (event.kind, event.task_id) == ("recovered", leased.task_id)
    assert (event.data["worker"], event.data["deliveries"]) == ("w4", 2)


@pytest.mark.parametrize("state", ["ready", "scheduled", "blocked", "leased"])
def test_a_cancelled_job_is_told_once(world: World, follower: Follower, state: str) -> None:
    [job] = world.enqueue("acme", due_ms=world.now + 9000 if state == "scheduled" else 0)
    leased = world.one() if state == "leased" else None
    if state == "blocked":
        world.store.hold(job.task_id, now_ms=world.now)
    follower.events()

    world.store.cancel(job.task_id, now_ms=world.now)
    if leased:
        assert follower.events() == [], "it still runs"
        world.settle(leased, outcome="cancelled")

    assert follower.kinds() == [("cancelled", job.task_id)]


def test_purged_jobs_are_cancelled(world: World, follower: Follower) -> None:
    jobs = world.enqueue("acme", number=3)
    follower.events()
    world.store.purge(QUEUE, now_ms=world.now)

    assert sorted(follower.kinds()) == sorted(("cancelled", job.task_id) for job in jobs)


def test_a_job_that_waited_for_another_is_released_by_its_success(world: World, follower: Follower) -> None:
    [parent] = world.enqueue("acme")
    child = world.job("acme", after=(parent.task_id,))
    world.store.enqueue(QUEUE, [child], now_ms=world.now)
    world.settle(world.one())
    world.take(1)

    told = follower.kinds()
    assert told.index(("succeeded", parent.task_id)) < told.index(("released", child.task_id))
    assert told.index(("released", child.task_id)) < told.index(("started", child.task_id))


def test_the_first_job_of_a_queue_is_told_too(world: World, follower: Follower) -> None:
    [job] = world.enqueue("acme", queue="newborn")

    assert follower.kinds() == [("enqueued", job.task_id)]


def test_a_consumer_that_does_not_acknowledge_is_told_of(world: World, follower: Follower) -> None:
    world.enqueue("acme")
    world.take(1, forget=True)

    assert [kind for kind, _ in follower.kinds()] == ["enqueued", "started", "succeeded"]


def test_listening_ends_by_itself_and_leaves_a_gap(world: World, follower: Follower) -> None:
    world.enqueue("acme")
    follower.events()
    gates = world.store.key("gates", queue=QUEUE)
    assert world.client.hexists(gates, "listen")
    world.clock.advance(ms=LISTEN_MS + 1)
    world.enqueue("acme")
    assert follower.events() == []
    assert not world.client.exists(gates), "and leaves nothing behind"

    latest = world.store.listen(LISTEN_MS, now_ms=world.now)
    event = follower.one()
    assert (event.kind, event.id) == ("gap", latest)
    assert world.store.listen(LISTEN_MS, now_ms=world.now) == latest, "who listens on leaves no gap"


def test_the_stream_is_bounded_and_goes_away(world: World, follower: Follower) -> None:
    for _ in range(25):
        world.enqueue("acme", number=500)
    key = world.store.key("events")

    assert 10_000 <= world.client.xlen(key) < 10_500
    assert not world.store.has_event(follower.after)
    assert 0 < world.client.pttl(key) <= LISTEN_MS + 600_000


def test_a_broken_stream_stops_no_job(world: World, follower: Follower) -> None:
    key = world.store.key("events")
    world.client.delete(key)
    world.client.set(key, "what somebody put there")

    world.enqueue("acme")
    assert world.settle(world.one()) == ["settled"]


def test_a_full_server_lets_somebody_listen(world: World, follower: Follower) -> None:
    world.enqueue("acme")
    world.client.config_set("maxmemory", 1)
    try:
        world.store.listen(LISTEN_MS, now_ms=world.now)
        world.settle(world.one())
    finally:
        world.client.config_set("maxmemory", 0)

    assert [kind for kind, _ in follower.kinds()][-1] == "succeeded"


def test_how_a_job_ended_is_known_for_a_while(world: World) -> None:
    jobs = world.enqueue("acme", number=4)
    done, dead, cancelled, _ = world.take(4)
    world.settle(done)
    world.settle(dead, outcome="dead", detail={"reason": "failed"})
    world.settle(cancelled, outcome="cancelled")

    def outcome(at: int) -> str | None:
        return world.store.outcome(jobs[at].task_id, now_ms=world.now)

    assert [outcome(at) for at in range(4)] == ["succeeded", "dead", "cancelled", None]
    world.clock.advance(seconds=300)
    assert [outcome(at) for at in range(4)] == [None, "dead", None, None]


def test_every_kind_is_told_somewhere_here() -> None:
    text = Path(__file__).read_text("utf-8")

    assert all(f'"{kind}"' in text for kind in KINDS)
