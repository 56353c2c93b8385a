"""purge.lua: a queue's waiting jobs are deleted, whatever they wait for."""

from __future__ import annotations

from queueops.engine.rules.gates import Limits
from tests.engine.world import QUEUE, World


def test_leased_jobs_run_on_and_all_others_are_gone(world: World) -> None:
    world.enqueue("acme", number=3)
    world.enqueue("acme", number=2, resource="mail")
    world.enqueue("beta", number=2, due_ms=world.now + 1000)
    running = world.one()

    assert world.store.purge(QUEUE, now_ms=world.now) == 6

    picture = world.queue()
    assert (picture.ready, picture.scheduled, picture.leased, picture.orgs_waiting) == (0, 0, 1, 0)
    assert picture.totals["cancelled"] == 6
    assert world.take(9) == []
    assert world.settle(running) == ["settled"]
    keys = world.keyspace()
    assert not [
        key for key in keys if key.startswith(("qo1:job", "qo1:lane", "qo1:ring", "qo1:ids", "qo1:timers"))
    ]


def test_hundreds_of_orgs_and_closed_ones_are_purged(world: World) -> None:
    world.store.set_limits(
        QUEUE, {f"closed{n}": Limits(max_in_flight=0) for n in range(700)}, now_ms=world.now
    )
    for number in range(700):
        world.enqueue(f"closed{number}")
        world.enqueue(f"open{number}")
        world.enqueue(f"later{number}", due_ms=world.now + number)
        world.store.pause(QUEUE, f"idle{number}", until_ms=world.now + 500, now_ms=world.now)
    while world.claim(free=1).more:  # closes those at the head
        pass

    purged = world.store.purge(QUEUE, now_ms=world.now)

    assert purged == 2100 - world.queue().leased
    assert (world.queue().ready, world.queue().scheduled) == (0, 0)


def test_a_big_lane_is_purged_in_steps(world: World) -> None:
    world.enqueue("acme", number=1203)

    assert world.store.purge(QUEUE, now_ms=world.now) == 1203
    assert world.queue().ready == 0
    assert float(world.keyspace()["qo1:queue:standard"]["W"]) == 0


def test_another_queue_is_left_alone(world: World) -> None:
    world.enqueue("acme", queue="bulk")
    world.enqueue("acme")

    assert world.store.purge("bulk", now_ms=world.now) == 1
    assert world.queue().ready == 1
    assert world.store.purge("nothing", now_ms=world.now) == 0


def test_jobs_whose_text_is_gone_are_purged_too(world: World) -> None:
    [job] = world.enqueue("acme")
    world.client.delete(world.store.key("job", queue=QUEUE, tag=job.tag))

    assert world.store.purge(QUEUE, now_ms=world.now) == 1
    assert world.queue().ready == 0


def test_one_org_is_purged_and_the_others_keep_their_jobs(world: World) -> None:
    world.enqueue("acme", number=600)
    world.enqueue("acme", number=2, resource="mail")
    world.enqueue("acme", number=501, due_ms=world.now + 1000)
    world.enqueue("beta", number=2)
    world.enqueue("beta", due_ms=world.now + 1000)
    running = world.take(1) + world.take(1)  # one of each

    steps = list(world.store.purge_steps(QUEUE, "acme", now_ms=world.now))

    assert sum(steps) == 1102 and max(steps) <= 500
    picture = world.queue()
    assert (picture.ready, picture.scheduled, picture.leased, picture.orgs_waiting) == (1, 1, 2, 1)
    assert picture.totals["cancelled"] == 1102
    assert world.settle(*running) == ["settled"] * 2
    assert len(world.take(9)) == 1
