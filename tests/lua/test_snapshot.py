"""snapshot.lua: pictures that change nothing."""

from __future__ import annotations

from queueops.engine.rules.gates import Limits
from tests.engine.world import PATIENCE_MS, QUEUE, World


def test_the_picture_of_a_queue(world: World) -> None:
    world.store.set_queue(QUEUE, concurrency=3, now_ms=world.now)
    world.register(slots=4)
    world.enqueue("acme", number=2)
    world.enqueue("beta", number=2)
    world.enqueue("beta", due_ms=world.now + 1000)
    world.clock.advance(ms=250)
    jobs = world.take(2)
    world.settle(jobs[0], run_ms=30)

    picture = world.queue()

    assert (picture.queue, picture.now_ms) == (QUEUE, world.now)
    assert (picture.ready, picture.scheduled, picture.leased, picture.orgs_waiting) == (2, 1, 1, 2)
    assert (picture.concurrency, picture.slots, picture.active_weight) == (3, 4, 2)
    assert (picture.gate, picture.closed_until_ms, picture.paused) == (None, None, None)
    assert picture.virtual_time_ms == 15
    assert picture.oldest_ready_ms == world.now - 250
    assert picture.oldest_rank_ms == world.now - 250 + PATIENCE_MS
    assert picture.totals == {
        "enqueued": 5,
        "claimed": 2,
        "succeeded": 1,
        "dead": 0,
        "retried": 0,
        "cancelled": 0,
        "lost": 0,
        "adopted": 0,
        "wait_ms": 500,
        "run_ms": 30,
        "existing": 0,
    }


def test_a_queue_at_its_concurrency_is_closed(world: World) -> None:
    world.store.set_queue(QUEUE, concurrency=1, now_ms=world.now)
    world.enqueue("acme", number=2)
    assert len(world.take(2)) == 1

    picture = world.queue()
    assert (picture.gate, picture.closed_until_ms) == ("queue_concurrency", world.now + 30_000)


def test_a_queue_nobody_has_seen_is_empty(world: World) -> None:
    picture = world.queue("nothing")

    assert (picture.ready, picture.leased, picture.oldest_ready_ms, picture.oldest_rank_ms) == (
        0,
        0,
        None,
        None,
    )


def test_a_deadline_does_not_make_a_job_look_old(world: World) -> None:
    world.enqueue("acme", patience_ms=1_200_000, deadline_ms=world.now + 5000)
    world.clock.advance(ms=100)

    assert world.queue().oldest_ready_ms == world.now - 100
    world.one()
    assert world.queue().totals["wait_ms"] == 100


def test_the_picture_of_an_org(world: World) -> None:
    limits = Limits(weight=2, rpm=60, burst=5, max_in_flight=4, share=0.5)
    world.store.set_limits(QUEUE, {"acme": limits}, now_ms=world.now)
    world.register(slots=7)
    world.enqueue("acme", number=6)
    world.enqueue("acme", number=2, resource="mail")
    world.enqueue("acme", due_ms=world.now + 1000)

    assert len(world.take(3)) == 3

    picture = world.org()
    assert (picture.queue, picture.org, picture.now_ms) == (QUEUE, "acme", world.now)
    assert (picture.ready, picture.scheduled, picture.in_flight) == (5, 1, 3)
    assert (picture.gate, picture.rate_left, picture.share_cap, picture.weight) == (None, 2, 4, 2)
    assert (picture.limits, picture.virtual_time_ms) == (limits, 150)
    world.take(1)
    picture = world.org()
    assert (picture.gate, picture.closed_until_ms) == ("org_concurrency", world.now + 30_000)


def test_the_rate_says_what_is_left_and_until_when(world: World) -> None:
    world.store.set_limits(QUEUE, {"acme": Limits(rpm=60, burst=3)}, now_ms=world.now)
    world.enqueue("acme", number=9)
    assert world.org().rate_left == 3

    assert len(world.take(9)) == 3

    picture = world.org()
    assert (picture.gate, picture.closed_until_ms, picture.rate_left) == ("org_rate", world.now + 1000, 0)
    world.clock.advance(ms=2500)
    picture = world.org()
    assert (picture.gate, picture.rate_left) == (None, 2)


def test_an_org_nobody_has_seen_has_the_default_limits(world: World) -> None:
    world.store.set_limits(QUEUE, {"": Limits(rpm=60, burst=3)}, now_ms=world.now)

    picture = world.org("nobody")

    assert (picture.ready, picture.rate_left, picture.weight, picture.limits) == (0, 3, 1, None)


def test_pictures_write_nothing(world: World) -> None:
    world.store.set_limits(
        QUEUE, {"acme": Limits(rpm=60, share=0.5, until_ms=world.now + 1)}, now_ms=world.now
    )
    world.store.pause(QUEUE, "beta", until_ms=world.now + 1, now_ms=world.now)
    world.enqueue("acme", number=2)
    world.take(1)
    before = world.keyspace()

    for ahead in (0, 1, 10**9):
        world.clock.advance(ms=ahead)
        world.queue()
        world.queue("nothing")
        world.org()
        world.org("nobody")

    assert world.keyspace() == before
