"""Caps: jobs in flight of an org and of a queue, and shares of a queue's slots."""

from __future__ import annotations

import random

import pytest

from queueops.engine.rules.gates import Limits
from tests.engine.simulation import Simulation
from tests.engine.world import QUEUE, World


def test_a_cap_is_never_exceeded_and_always_used(world: World) -> None:
    world.store.set_limits(QUEUE, {"capped": Limits(max_in_flight=3)}, now_ms=world.now)
    world.enqueue("capped", number=400)
    world.enqueue("open", number=2000)
    most = 0

    def arrive() -> None:
        nonlocal most
        in_flight = world.org("capped").in_flight
        assert in_flight <= 3
        most = max(most, in_flight)

    simulation = Simulation(
        world, lambda job: random.Random(job.tag).uniform(50, 150), slots=8, arrive=arrive
    )
    simulation.run(claims=400)

    assert most == 3
    assert simulation.share("capped") == pytest.approx(3 / 8, abs=0.03)


def test_a_queues_concurrency_holds_for_all_orgs_together(world: World) -> None:
    world.store.set_queue(QUEUE, concurrency=5, now_ms=world.now)
    for org in ("a", "b", "c"):
        world.enqueue(org, number=10)

    jobs = world.take(4, "w1") + world.take(4, "w2")

    assert len(jobs) == 5
    world.settle(*jobs[:2])
    assert len(world.take(9)) == 2
    world.store.set_queue(QUEUE, concurrency=0, now_ms=world.now)
    world.settle(*jobs[2:])
    assert world.take(9) == []


@pytest.mark.parametrize(
    ("share", "slots", "cap"), [(0.75, 8, 6), (0.5, 7, 4), (0.1, 8, 1), (0.25, 8, 2), (1, 3, 3), (0.3, 10, 3)]
)
def test_a_share_is_of_the_slots_of_the_live_workers(
    world: World, share: float, slots: int, cap: int
) -> None:
    world.store.set_limits(QUEUE, {"": Limits(share=share)}, now_ms=world.now)
    world.register("w1", slots=slots)
    world.enqueue("acme", number=20)

    assert len(world.take(20)) == cap
    assert (world.org().share_cap, world.org().gate) == (cap, "org_share")


def test_a_share_is_of_the_queues_concurrency_where_that_is_set(world: World) -> None:
    world.store.set_queue(QUEUE, concurrency=4, now_ms=world.now)
    world.store.set_limits(QUEUE, {"": Limits(share=0.5)}, now_ms=world.now)
    world.register("w1", slots=100)
    world.enqueue("acme", number=20)

    assert len(world.take(20)) == 2


def test_a_share_of_slots_nobody_registered_is_one_job(world: World) -> None:
    world.store.set_limits(QUEUE, {"": Limits(share=0.5)}, now_ms=world.now)
    world.enqueue("acme", number=20)

    assert len(world.take(20)) == 1


def test_a_share_grows_at_once_when_workers_join(world: World) -> None:
    world.store.set_limits(QUEUE, {"": Limits(share=0.5)}, now_ms=world.now)
    world.register("w1", slots=4)
    world.enqueue("acme", number=20)
    assert len(world.take(20)) == 2
    world.bell()

    world.register("w2", slots=6)

    assert world.bell()
    assert len(world.take(20)) == 3


def test_a_share_shrinks_when_workers_leave(world: World) -> None:
    world.store.set_limits(QUEUE, {"": Limits(share=0.5)}, now_ms=world.now)
    world.register("w1", slots=4)
    world.register("w2", slots=4)
    world.enqueue("acme", number=20)
    jobs = world.take(20, "w1")
    assert len(jobs) == 4

    world.store.leave("w2", now_ms=world.now)
    world.settle(*jobs[:2])

    assert world.take(20) == []
    world.settle(jobs[2])
    assert len(world.take(20)) == 1


def test_no_path_out_of_a_lease_leaks_a_slot(world: World) -> None:
    world.store.set_limits(QUEUE, {"acme": Limits(max_in_flight=6)}, now_ms=world.now)
    world.beat()
    for _ in range(3):
        world.enqueue("acme", number=30)
        done, dead, given, lost, retried, gone = world.take(6)
        world.settle(done)
        world.settle(dead, outcome="dead", detail={})
        world.store.release([given.token], now_ms=world.now)
        world.store.release([lost.token], lost=True, now_ms=world.now)
        retry = world.job("acme", supersedes=retried.token)
        world.store.enqueue(QUEUE, [retry], now_ms=world.now)
        world.client.delete(world.store.key("job", queue=QUEUE, tag=gone.tag))
        world.store.release([gone.token], now_ms=world.now)
        assert (world.org().in_flight, world.queue().leased) == (0, 0)
        assert len(world.take(9)) == 6
        world.store.leave("w1", now_ms=world.now)
        world.store.purge(QUEUE, now_ms=world.now)

    assert (world.org().in_flight, world.queue().leased) == (0, 0)


def test_a_run_of_two_hours_keeps_its_slot(world: World) -> None:
    world.store.set_limits(QUEUE, {"acme": Limits(max_in_flight=1)}, now_ms=world.now)
    world.enqueue("acme", number=2)
    job = world.one()
    assert world.client.pttl(world.store.key("org", queue=QUEUE, org="acme")) == -1, (
        "what runs does not expire"
    )

    world.clock.advance(seconds=7200)
    assert world.take(1) == []
    world.settle(job, run_ms=7_200_000)

    second = world.one()
    world.settle(second)
    assert world.org().in_flight == 0


def test_an_org_that_gets_its_first_limit_or_pause_keeps_to_it(world: World) -> None:
    world.store.set_limits(QUEUE, {"other": Limits(max_in_flight=1)}, now_ms=world.now)
    for org in ("acme", "globex"):
        world.enqueue(org, number=20)
    held = world.take(6)

    world.store.set_limits(QUEUE, {"acme": Limits(max_in_flight=4)}, now_ms=world.now)
    world.store.pause(QUEUE, "globex", now_ms=world.now)

    more = world.take(20)
    assert {job.org for job in more} == {"acme"}
    assert sum(job.org == "acme" for job in held + more) == 4
    world.store.set_limits(QUEUE, {"acme": None}, now_ms=world.now)
    assert len(world.take(20)) == 16
