"""places.lua, survey.lua, draw.lua and strays.lua: where jobs wait, and some of them."""

from __future__ import annotations

from math import inf

import pytest

from queueops.engine import places
from queueops.engine import survey as engine_survey
from queueops.engine.places import Asked, Place
from queueops.engine.rules.gates import Limits, ResourceLimits
from queueops.engine.survey import Standing, Survey
from tests.engine.world import PATIENCE_MS, QUEUE, World


def orgs(world: World, asked: Asked = "jobs") -> dict[str, float]:
    """What was asked for of each org."""
    found, whole = world.store.orgs(QUEUE, asked)
    assert whole
    return found


def survey(world: World, jobs: int = 500) -> Survey:
    """The queue's survey, told how many jobs there are as a status is."""
    picture = world.queue()
    return world.store.survey(
        QUEUE,
        picture.ready,
        picture.scheduled,
        picture.blocked,
        jobs,
        lambda: world.store.lots_drawn(1000),
    )


def fill(world: World) -> None:
    """Jobs wherever jobs can wait; two orgs and a resource are closed."""
    store = world.store
    store.set_limits(QUEUE, {"capped": Limits(max_in_flight=0)}, now_ms=world.now)
    store.set_resources({"mail": ResourceLimits(max_in_flight=0)}, now_ms=world.now)
    [parent] = world.enqueue("acme", due_ms=world.now + 900)
    world.enqueue("acme", due_ms=world.now + 500, attempt=2)
    world.enqueue("beta", number=2, after=(parent.task_id,))
    world.enqueue("beta", number=4, resource="mail")
    world.enqueue("capped", number=5)
    store.pause(QUEUE, task="tasks.slow", now_ms=world.now)
    world.enqueue("aside", task="tasks.slow")
    assert world.take(9) == []  # looks at what is closed on the way
    world.clock.advance(ms=50)
    world.enqueue("acme", number=2, deadline_ms=world.now - 1)
    world.enqueue("acme", number=3, resource="sms", patience_ms=7)


def test_the_orgs_that_have_jobs(world: World) -> None:
    fill(world)
    world.enqueue("later", due_ms=world.now + 5)

    assert orgs(world) == {"acme": 5, "beta": 4, "capped": 5, "later": 0}
    assert orgs(world, "names") == dict.fromkeys(("acme", "beta", "capped", "later"), 0)
    assert orgs(world, "first") == {
        "acme": world.now - 1,
        "beta": world.now - 50 + PATIENCE_MS,
        "capped": world.now - 50 + PATIENCE_MS,
        "later": inf,
    }
    listed, whole = world.store.places(QUEUE)
    assert whole and sorted(listed, key=lambda place: (place.org, place.jobs)) == [
        Place(1, "", "pause"),
        Place(2, "acme", ""),
        Place(3, "acme", ""),
        Place(4, "beta", "resource"),
        Place(5, "capped", "org_concurrency"),
    ]


def test_a_survey_of_few_jobs_reads_all_of_them(world: World) -> None:
    fill(world)

    found = survey(world)

    assert (found.ready.total, found.scheduled.total, found.blocked.total) == (15, 2, 2)
    assert found.ready.exact and found.scheduled.exact and found.blocked.exact and found.whole
    assert found.held == 4 + 5 + 1
    assert found.oldest_ms == world.now - 50
    assert sorted(job.patience_ms for job in found.ready.jobs) == [7] * 3 + [PATIENCE_MS] * 12
    assert sorted(job.attempt for job in found.scheduled.jobs) == [0, 2]
    late = [job for job in found.ready.jobs if job.deadline_ms]
    assert [(job.at_ms, job.ready_since_ms) for job in late] == [(world.now - 1, world.now)] * 2


def test_a_walk_goes_on_and_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "STEP", 4)
    for number in range(10):
        world.enqueue(f"org{number}", number=3)

    assert orgs(world) == {f"org{number}": 3 for number in range(10)}
    found = survey(world)
    assert (found.ready.total, found.ready.exact, found.whole) == (30, True, True)
    monkeypatch.setattr(places, "WALKED", 8)
    found_orgs, all_of_them = world.store.orgs(QUEUE)
    assert (len(found_orgs), all_of_them) == (8, False)
    assert not survey(world).whole


def test_a_sample_of_many_jobs_takes_each_org_by_its_size(world: World) -> None:
    world.enqueue("big", number=900, patience_ms=1)
    for number in range(50):
        world.enqueue(f"small{number}", number=2, patience_ms=2, attempt=1)
    for number in range(200):  # in step with the distance
        world.enqueue(f"later{number}", due_ms=world.now + 1 + number, attempt=int(number % 5 == 0))

    found = survey(world, 100)

    assert (found.ready.total, found.ready.exact, len(found.ready.jobs)) == (1000, False, 100)
    small = sum(1 for job in found.ready.jobs if job.attempt)
    assert found.ready.scaled(small) == pytest.approx(100, abs=40)
    retries = sum(1 for job in found.scheduled.jobs if job.attempt)
    assert found.scheduled.scaled(retries) == pytest.approx(40, abs=20)


def test_jobs_of_many_orgs_are_drawn_by_lot(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_survey, "FEW_ORGS", 5)
    monkeypatch.setattr(engine_survey, "FEW_JOBS", 50)
    fill(world)
    for number in range(20):
        world.enqueue(f"org{number}", number=10, patience_ms=3)
        world.enqueue(f"org{number}", number=5, due_ms=world.now + 1 + number, attempt=number % 2)
    world.one()

    found = survey(world)

    assert (found.ready.total, found.ready.exact, found.held) == (214, False, 10)
    assert (found.scheduled.total, found.scheduled.exact, found.blocked.exact) == (102, False, True)
    quick = sum(1 for job in found.ready.jobs if job.patience_ms == 3)
    assert found.ready.scaled(quick) == pytest.approx(200, abs=30)
    retries = sum(1 for job in found.scheduled.jobs if job.attempt)
    assert found.scheduled.scaled(retries) == pytest.approx(51, abs=30)
    assert found.oldest_ms is not None and found.oldest_ms <= world.now
    drawn = world.store.lots_drawn(450)
    assert {state for _, state in drawn} >= {"ready", "scheduled"}
    assert sum(map(len, drawn.values())) == 500  # whole scripts of 125


def test_jobs_that_stand_in_no_place_of_their_org(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "STEP", 2)
    world.store.pause(QUEUE, task="tasks.slow", now_ms=world.now)
    [slow] = world.enqueue("acme", task="tasks.slow")
    assert world.take(1) == []
    [parent] = world.enqueue("acme")
    children = world.enqueue("acme", number=3, after=(parent.task_id,))
    world.enqueue("beta", number=3, after=(parent.task_id,))

    aside = world.store.set_aside(QUEUE, "acme")

    assert sorted(aside) == sorted(job.task_id for job in (*children, slow))
    assert world.store.set_aside("nothing", "acme") == []


def test_looks_write_nothing_and_a_queue_nobody_knows_is_empty(world: World) -> None:
    fill(world)
    before = world.keyspace()

    survey(world)
    survey(world, 3)
    world.store.orgs(QUEUE, "first")
    world.store.lots_drawn(10)
    world.store.set_aside(QUEUE, "beta")
    world.store.standing(QUEUE)

    assert world.keyspace() == before
    assert world.store.orgs("nothing") == ({}, True)
    empty = world.store.survey("nothing", 0, 0, 0, 5, dict)
    assert (empty.ready.total, empty.held, empty.oldest_ms, empty.whole) == (0, 0, None, True)


def test_what_a_queue_may_run(world: World) -> None:
    world.store.set_queue(QUEUE, concurrency=7, now_ms=world.now)
    world.store.pause(QUEUE, now_ms=world.now)
    world.store.resume(QUEUE, ramp_until_ms=world.now + 5000, now_ms=world.now)

    assert world.store.standing(QUEUE) == Standing(7, world.now + 5000)
    assert world.store.standing("nothing") == Standing(None, 0)


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
