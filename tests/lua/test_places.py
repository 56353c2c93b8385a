"""places.lua and sample.lua: where jobs wait, and some of them."""

from __future__ import annotations

import pytest

from queueops.engine import places
from queueops.engine.places import Place
from queueops.engine.rules.gates import Limits, ResourceLimits
from tests.engine.world import PATIENCE_MS, QUEUE, World


def found(world: World) -> dict[tuple[str, str, str, str], tuple[int, str]]:
    """Jobs and gate of each place."""
    listed, whole = world.store.places(QUEUE)
    assert whole
    return {(one.kind, one.resource, one.org, one.task): (one.jobs, one.gate) for one in listed}


def test_every_place_where_jobs_wait(world: World) -> None:
    store = world.store
    store.set_limits(QUEUE, {"capped": Limits(max_in_flight=0)}, now_ms=world.now)
    store.set_resources({"mail": ResourceLimits(max_in_flight=0)}, now_ms=world.now)
    world.enqueue("acme", number=2)
    world.enqueue("acme", number=3, resource="sms")
    world.enqueue("acme", due_ms=world.now + 500)
    world.enqueue("beta", number=4, resource="mail")
    world.enqueue("capped", number=5)
    [parent] = world.enqueue("acme", due_ms=world.now + 900)
    world.enqueue("beta", number=2, after=(parent.task_id,))
    store.pause(QUEUE, task="tasks.slow", now_ms=world.now)
    world.enqueue("aside", task="tasks.slow")
    world.take(1)  # looks at what is closed on the way

    world.take(9)

    assert found(world) == {
        ("scheduled", "", "acme", ""): (2, ""),
        ("lane", "mail", "beta", ""): (4, "resource"),
        ("lane", "", "capped", ""): (5, "org_concurrency"),
        ("blocked", "", "", ""): (2, ""),
        ("aside", "", "", "tasks.slow"): (1, "pause"),
    }


def test_open_lanes_with_the_rank_of_their_first_job(world: World) -> None:
    world.enqueue("acme", number=2)
    world.clock.advance(ms=50)
    world.enqueue("acme", resource="sms")
    world.enqueue("beta", due_ms=world.now + 70)

    listed, _ = world.store.places(QUEUE)

    got = [(one.kind, one.resource, one.org, one.jobs, one.first_ms - world.now) for one in listed]
    assert sorted(got) == [
        ("lane", "", "acme", 2, PATIENCE_MS - 50),
        ("lane", "sms", "acme", 1, PATIENCE_MS),
        ("scheduled", "", "beta", 1, 70),
    ]


def test_a_walk_goes_on_and_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "STEP", 4)
    for number in range(10):
        world.enqueue(f"org{number}")

    assert len(found(world)) == 10
    monkeypatch.setattr(places, "WALKED", 8)
    listed, whole = world.store.places(QUEUE)
    assert (len(listed), whole) == (8, False)


def test_a_sample_of_few_jobs_is_all_of_them(world: World) -> None:
    world.enqueue("acme", number=3, patience_ms=7)
    world.enqueue("acme", number=2, patience_ms=9, resource="sms", deadline_ms=world.now + 1)
    listed, _ = world.store.places(QUEUE)

    sample = world.store.sample(QUEUE, listed, 5)

    assert (sample.total, sample.exact, len(sample.jobs)) == (5, True, 5)
    assert sorted(job.patience_ms for job in sample.jobs) == [7, 7, 7, 9, 9]
    late = [job for job in sample.jobs if job.deadline_ms]
    assert [(job.at_ms, job.ready_since_ms) for job in late] == [(world.now + 1, world.now)] * 2


def test_a_sample_of_many_takes_each_org_by_its_size(world: World) -> None:
    world.enqueue("big", number=900, patience_ms=1)
    for number in range(50):
        world.enqueue(f"small{number}", number=2, patience_ms=2, attempt=1)
    listed, _ = world.store.places(QUEUE)

    sample = world.store.sample(QUEUE, listed, 100)

    assert (sample.total, sample.exact, len(sample.jobs)) == (1000, False, 100)
    small = sum(1 for job in sample.jobs if job.attempt)
    assert sample.scaled(small) == pytest.approx(100, abs=20)
    assert len({job.task_id for job in sample.jobs}) == 100


def test_the_first_jobs_of_places(world: World) -> None:
    first, *_ = world.enqueue("acme", number=3)
    listed, _ = world.store.places(QUEUE)

    assert {place.org: job.task_id for place, job in world.store.heads(QUEUE, listed).items()} == {
        "acme": first.task_id
    }
    assert world.store.heads(QUEUE, []) == {}
    assert world.store.sample(QUEUE, [], 5).jobs == ()


def test_jobs_that_stand_nowhere_of_their_own(world: World) -> None:
    [parent] = world.enqueue("acme")
    [child] = world.enqueue("acme", after=(parent.task_id,))
    world.enqueue("beta", after=(parent.task_id,))

    assert world.store.set_aside(QUEUE, "acme") == [child.task_id]


def test_looks_write_nothing_and_a_queue_nobody_knows_is_empty(world: World) -> None:
    world.enqueue("acme", number=3)
    world.enqueue("acme", due_ms=world.now + 5)
    before = world.keyspace()

    listed, _ = world.store.places(QUEUE)
    world.store.sample(QUEUE, listed, 2)
    world.store.standing(QUEUE)

    assert world.keyspace() == before
    assert world.store.places("nothing") == ([], True)


def test_what_a_queue_may_run_and_who_serves_it(world: World) -> None:
    world.store.set_queue(QUEUE, concurrency=7, now_ms=world.now)
    world.register("w1")
    world.register("w2")
    world.store.pause(QUEUE, now_ms=world.now)
    world.store.resume(QUEUE, ramp_until_ms=world.now + 5000, now_ms=world.now)

    standing = world.store.standing(QUEUE)

    assert (standing.concurrency, standing.ramp_until_ms, standing.workers) == (7, world.now + 5000, 2)
    assert world.store.standing("nothing") == places.Standing(None, 0, 0)


def test_orgs_in_flight_and_several_pictures_at_once(world: World) -> None:
    world.enqueue("acme", number=3)
    world.enqueue("beta", number=2)
    world.take(4, holder="w1")

    running = world.store.in_flight()
    pictures = world.store.org_snapshots(QUEUE, ["beta", "acme", "nobody"], now_ms=world.now)

    assert running == {(QUEUE, "acme"): 2, (QUEUE, "beta"): 2}
    assert [(one.org, one.ready, one.in_flight) for one in pictures] == [
        ("beta", 0, 2),
        ("acme", 1, 2),
        ("nobody", 0, 0),
    ]
    assert pictures[1] == world.org()
    assert pictures[1].oldest_ready_ms == world.now


def test_the_sets_of_a_sample_cover_all_places() -> None:
    some = [Place("lane", jobs, org=str(jobs)) for jobs in (10, 1, 1, 500, 3)]

    sets = list(places._sets(some, 20))

    assert sum(count for *_, count in sets) == 20
    for place, first, distance, count in sets:
        assert first >= 0 and first + (count - 1) * distance < place.jobs
