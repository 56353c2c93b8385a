"""renew.lua: a process says what it holds."""

from __future__ import annotations

import pytest

from tests.engine.world import QUEUE, World


def test_a_renewed_lease_is_not_reaped(world: World) -> None:
    world.enqueue("acme")
    job = world.one()
    world.beat()

    for _ in range(6):
        assert world.beat_for(10) == 0
        assert world.renew("w1", {job.token: 10_000}) == []

    assert world.settle(job) == ["settled"]


def test_a_lost_lease_is_named(world: World) -> None:
    world.enqueue("acme", number=2)
    kept, lost = world.take(2)
    world.store.release([lost.token], now_ms=world.now)

    assert world.renew("w1", {kept.token: 1, lost.token: 1}) == [lost.token]


def test_a_claim_whose_answer_was_lost_is_given_back_and_costs_no_delivery(world: World) -> None:
    world.enqueue("acme", number=2)
    known = world.store.claim([QUEUE], 1, 0, "w1", 7, now_ms=world.now).jobs[0]
    for number in range(8, 11):  # three answers lost: with counted deliveries the job would be dead
        lost = world.store.claim([QUEUE], 1, 0, "w1", number, now_ms=world.now).jobs[0]
        assert world.renew("w1", {known.token: 5}, answered=number) == []

    again = world.one("w2")
    assert again.tag == lost.tag
    assert again.deliveries == 1
    assert again.rank_ms == lost.rank_ms
    assert world.org().in_flight == 2


def test_many_unknown_leases_are_given_back_over_several_renewals(world: World) -> None:
    world.enqueue("acme", number=1100)
    for number in range(1, 12):
        assert len(world.store.claim([QUEUE], 100, 0, "w1", number, now_ms=world.now).jobs) == 100

    left = []
    for _ in range(4):
        world.renew("w1", {}, answered=11)
        left.append(world.queue().leased)

    assert left == [600, 100, 0, 0]
    assert len(world.take(100, holder="w2")) == 100


def test_a_claim_still_on_its_way_is_left_alone(world: World) -> None:
    world.enqueue("acme")
    job = world.store.claim([QUEUE], 1, 0, "w1", 8, now_ms=world.now).jobs[0]

    world.renew("w1", {}, answered=7)

    assert world.settle(job) == ["settled"]


def test_a_long_run_is_charged_while_it_runs(world: World) -> None:
    world.enqueue("acme", number=2)
    job = world.one()
    assert world.org().virtual_time_ms == 100

    world.renew("w1", {job.token: 60})
    assert (world.org().virtual_time_ms, world.queue().virtual_time_ms) == (100, 60)
    world.renew("w1", {job.token: 5000})
    assert (world.org().virtual_time_ms, world.queue().virtual_time_ms) == (5000, 5000)
    world.renew("w1", {job.token: 4000})
    assert (world.org().virtual_time_ms, world.queue().virtual_time_ms) == (5000, 5000), (
        "time never runs back"
    )
    world.settle(job, run_ms=6000)
    assert (world.org().virtual_time_ms, world.queue().virtual_time_ms) == (6000, 6000)


def test_the_queues_time_moves_while_a_job_stays_within_its_mean(world: World) -> None:
    # Else hours of known-long jobs would stand still in V, and whoever comes next would get all slots for
    # hours.
    world.enqueue("acme", number=2)
    world.settle(world.one(), run_ms=3_600_000)
    job = world.one()

    world.renew("w1", {job.token: 1_800_000})

    assert world.queue().virtual_time_ms == 5_400_000
    assert world.org().virtual_time_ms == 7_200_000


def test_a_queue_fair_by_count_charges_nothing_for_time(world: World) -> None:
    world.store.set_queue(QUEUE, fair_by="count", now_ms=world.now)
    world.enqueue("acme")
    job = world.one()
    before = world.keyspace()["qo1:held:w1"]

    world.renew("w1", {job.token: 60_000})

    assert world.org().virtual_time_ms == 1
    assert world.keyspace()["qo1:held:w1"] == before
    world.settle(job, run_ms=60_000)
    assert (world.org().virtual_time_ms, world.queue().virtual_time_ms) == (1, 1)


def test_a_registration_offers_slots_to_queues(world: World) -> None:
    world.register("w1", slots=8, queues=("critical", "bulk"))
    world.register("w2", slots=4, queues=("bulk",))
    assert (world.queue("critical").slots, world.queue("bulk").slots) == (8, 12)

    world.register("w1", slots=6, queues=("critical",))
    assert (world.queue("critical").slots, world.queue("bulk").slots) == (6, 4)

    [first, second] = world.store.workers()
    assert (first.holder, first.slots, first.queues, first.expires_ms) == (
        "w1",
        6,
        ["critical"],
        world.now + 30_000,
    )
    assert (second.holder, second.leases) == ("w2", 0)


@pytest.mark.parametrize("end", ["leave", "lapse"])
def test_a_worker_that_is_gone_offers_no_slots(world: World, end: str) -> None:
    world.register("w1", slots=8)
    world.register("w2", slots=4)
    world.beat()

    if end == "leave":
        world.store.leave("w1", now_ms=world.now)
    else:
        for _ in range(4):
            world.beat_for(10)
            world.register("w2", slots=4)

    assert world.queue().slots == 4
    assert [worker.holder for worker in world.store.workers()] == ["w2"]
