"""Resources: limits that all orgs and queues share, and rings that go and come back as a whole."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from queueops.engine.rules.gates import Breaker, Limits, ResourceLimits
from tests.engine.invariants import check
from tests.engine.simulation import Simulation
from tests.engine.world import QUEUE, World

CAPPED = ResourceLimits(max_in_flight=2)


def limit(world: World, limits: ResourceLimits | None, name: str = "mail") -> None:
    """Publish the limits of a resource."""
    world.store.set_resources({name: limits}, now_ms=world.now)


def look(world: World, name: str = "mail"):  # type: ignore[no-untyped-def]
    """The picture of a resource."""
    return world.store.resource_snapshot(name, now_ms=world.now)


def test_a_cap_holds_over_orgs_and_queues_and_leaves_the_rest_alone(world: World) -> None:
    limit(world, CAPPED)
    world.enqueue("acme", number=3, resource="mail")
    world.enqueue("globex", number=3, resource="mail")
    world.enqueue("acme", number=2)
    world.enqueue("acme", number=3, resource="mail", queue="bulk")

    first = world.take(9, queues=(QUEUE, "bulk"))

    assert sum(job.resource == "mail" for job in first) == 2
    assert sum(job.resource == "" for job in first) == 2, "no other job of the org waits for the resource"
    assert look(world).gate == "resource_concurrency"
    assert look(world).in_flight == 2
    check(world)
    world.settle(next(job for job in first if job.resource == "mail"))
    assert len(world.take(9, queues=(QUEUE, "bulk"))) == 1
    check(world)


def test_a_limit_outlives_the_idle_time_before_it(world: World) -> None:
    world.enqueue("acme", resource="mail")
    world.settle(world.one())
    hash_key = world.store.key("resource", resource="mail")
    assert world.client.pttl(hash_key) > 0, "without settings and idle it will be forgotten"

    limit(world, CAPPED)

    assert world.client.pttl(hash_key) == -1
    limit(world, None)
    world.enqueue("acme", resource="mail")
    world.settle(world.one())
    assert world.client.pttl(hash_key) > 0
    world.client.hset(hash_key, "=", "")  # as a publisher of before has left it, with the end of its life set
    limit(world, CAPPED)
    assert world.client.pttl(hash_key) == -1


def test_a_cap_is_used_to_the_full_and_never_exceeded(world: World) -> None:
    limit(world, replace(CAPPED, max_in_flight=3))
    for org in ("a", "b", "c", "d"):
        world.enqueue(org, number=60, resource="mail")
        world.enqueue(org, number=200)
    seen: set[int] = set()

    def arrive() -> None:
        seen.add(look(world).in_flight)

    simulation = Simulation(
        world, lambda job: random.Random(job.tag).uniform(50, 150), slots=8, arrive=arrive
    )
    simulation.run(claims=500)

    assert max(seen) == 3
    for org in ("a", "b", "c", "d"):
        assert simulation.share(org) == pytest.approx(1 / 4, abs=0.03)
    check(world)


def test_a_rate_is_one_for_all_orgs_and_queues(world: World) -> None:
    limit(world, ResourceLimits(per_minute=60, burst=5))
    for org in ("a", "b"):
        for queue in (QUEUE, "bulk"):
            world.enqueue(org, number=20, queue=queue, resource="mail")

    taken = len(world.take(50, queues=(QUEUE, "bulk")))
    assert taken == 5
    for _ in range(10):
        world.clock.advance(seconds=1)
        taken += len(world.take(50, queues=(QUEUE, "bulk")))
        check(world)

    assert taken == 15
    assert look(world).gate == "resource_rate"
    assert look(world).rate_left == 0


def test_a_rate_beside_a_cap_opens_in_its_time_and_not_when_the_cap_is_looked_at_again(world: World) -> None:
    limit(world, ResourceLimits(per_minute=60, max_in_flight=1))
    for queue in (QUEUE, "bulk"):
        world.enqueue("acme", number=3, queue=queue, resource="mail")
    queues = (QUEUE, "bulk")
    for _ in range(6):
        # The cap takes the ring out; when its slot is free the rate still holds.
        job = world.one(queues=queues)
        assert world.take(1, queues=queues) == []
        world.clock.advance(ms=500)
        world.settle(job)
        assert world.take(1, queues=queues) == []
        check(world)
        world.clock.advance(ms=500)
        check(world)


@pytest.mark.parametrize(
    "limits",
    [
        ResourceLimits(max_in_flight=3),
        ResourceLimits(per_minute=60, burst=3),
        ResourceLimits(max_in_flight=900, breaker=Breaker()),
    ],
)
def test_jobs_of_a_resource_near_its_limit_are_not_claimed_ahead(
    world: World, limits: ResourceLimits
) -> None:
    limit(world, limits)
    world.enqueue("acme", number=5, resource="mail")
    world.enqueue("acme", number=5, resource="free")

    assert len([job for job in world.claim(0, ahead=9).jobs if job.resource == "mail"]) == 0
    assert len(world.take(9)) >= 5


def test_a_quarter_of_a_resources_limit_may_be_claimed_ahead(world: World) -> None:
    limit(world, ResourceLimits(max_in_flight=20, per_minute=6000, burst=100))
    world.enqueue("acme", number=12, resource="mail")

    first = world.claim(0, ahead=12).jobs

    assert [job.limited for job in first] == [False] * 5
    assert [job.limited for job in world.take(2)] == [True, True]
    check(world)


def test_a_closed_resource_is_not_looked_at_however_many_orgs_wait(world: World) -> None:
    limit(world, CAPPED)
    for number in range(200):
        world.enqueue(f"org{number}", resource="mail")
    held = world.take(2)
    world.take(1)

    assert "mail" not in world.keyspace().get(f"qo1:rings:{QUEUE}", {})
    looked = world.claim(8)
    assert not looked.jobs and not looked.more
    world.settle(held[0])
    assert world.bell()
    assert len(world.take(8)) == 1
    check(world)


def test_orgs_that_waited_for_a_resource_bring_no_credit_along(world: World) -> None:
    limit(world, replace(CAPPED, max_in_flight=0))
    world.enqueue("waiting", number=300, resource="mail")
    world.enqueue("busy", number=1000)
    assert not [job for job in world.take(4) if job.resource == "mail"]
    simulation = Simulation(world, lambda job: 100.0, slots=4)
    simulation.run(claims=100)
    check(world)

    limit(world, None)
    simulation.run(claims=200)

    assert simulation.share("waiting", since=100) == pytest.approx(1 / 2, abs=0.05)


def test_weights_of_orgs_that_wait_for_a_closed_resource_do_not_slow_the_queues_time(world: World) -> None:
    limit(world, replace(CAPPED, max_in_flight=0))
    for number in range(100):
        world.enqueue(f"waiting{number}", resource="mail")
    world.enqueue("busy", number=50)
    world.take(2)

    assert world.queue().active_weight == 1
    limit(world, CAPPED)
    assert world.queue().active_weight == 101
    check(world)


def test_an_unlimited_resource_still_counts_what_is_in_flight(world: World) -> None:
    world.enqueue("acme", number=3, resource="mail")
    held = world.take(3)

    assert look(world).in_flight == 3
    limit(world, CAPPED)
    world.enqueue("acme", resource="mail")
    world.settle(held[0])
    assert world.take(1) == []
    world.settle(held[1])
    assert len(world.take(1)) == 1
    check(world)


def test_a_lost_lease_frees_the_slot_of_its_resource(world: World) -> None:
    limit(world, replace(CAPPED, max_in_flight=1))
    world.beat()
    world.enqueue("acme", number=2, resource="mail")
    world.one("w1")
    world.renew("w2")

    world.beat_for(35)

    assert look(world).in_flight == 0
    assert len(world.take(2, "w2")) == 1
    check(world)


def test_an_idle_resource_without_settings_leaves_no_key_behind(world: World) -> None:
    world.enqueue("acme", resource="mail")
    assert world.client.ttl(world.store.key("resource", resource="mail")) == -1
    world.settle(world.one())

    assert 0 < world.client.ttl(world.store.key("resource", resource="mail")) <= 600
    assert world.store.resources() == ["mail"]
    world.client.delete(world.store.key("resource", resource="mail"))
    assert world.store.resources() == []


def test_settings_come_back_as_they_were_published(world: World) -> None:
    limits = {
        "mail": ResourceLimits(
            per_minute=90, burst=4, max_in_flight=7, breaker=Breaker(0.25, 5, 30, 2, 64, 2)
        ),
        "pay": ResourceLimits(max_in_flight=1),
        "open": ResourceLimits(),
    }

    assert world.store.set_resources(limits) == 3
    assert world.store.set_resources(limits) == 0
    assert world.store.read_resources() == limits
    assert world.store.set_resources({"pay": None}) == 1
    assert set(world.store.read_resources()) == {"mail", "open"}


def test_an_org_with_jobs_for_several_resources_goes_on_with_what_is_open(world: World) -> None:
    limit(world, replace(CAPPED, max_in_flight=1))
    first = world.enqueue("acme", number=3, resource="mail")
    world.enqueue("acme", number=2, resource="pay")
    world.enqueue("acme", number=2)

    taken = world.take(9)

    assert taken[0].tag == first[0].tag, "its first job comes first"
    assert sorted(job.resource for job in taken) == ["", "", "mail", "pay", "pay"]
    check(world)


def test_a_paused_resource_holds_its_jobs_in_every_queue_until_its_time(world: World) -> None:
    for queue in (QUEUE, "bulk"):
        world.enqueue("acme", resource="mail", queue=queue)
    world.store.pause("", resource="mail", until_ms=world.now + 60_000, by="ann", now_ms=world.now)

    assert world.take(9, queues=(QUEUE, "bulk")) == []
    assert look(world).paused is not None and look(world).gate == "pause"
    world.clock.advance(seconds=59)
    assert world.take(9, queues=(QUEUE, "bulk")) == []
    world.clock.advance(seconds=2)
    assert len(world.take(9, queues=(QUEUE, "bulk"))) == 2


def test_a_pause_that_ended_in_its_time_leaves_no_key_behind(world: World) -> None:
    world.enqueue("acme", resource="mail")
    world.store.pause("", resource="mail", until_ms=world.now + 1000, now_ms=world.now)
    assert world.take(1) == []
    world.clock.advance(seconds=1)

    world.settle(world.one())

    assert world.client.pttl(world.store.key("resource", resource="mail")) > 0


def test_a_resource_that_is_resumed_opens_at_once(world: World) -> None:
    world.enqueue("acme", resource="mail")
    world.store.pause("", resource="mail", now_ms=world.now)
    assert world.take(1) == []

    assert world.store.resume("", resource="mail", now_ms=world.now)

    assert world.bell()
    assert len(world.take(1)) == 1
    assert not world.store.resume("", resource="mail", now_ms=world.now)


def test_limits_of_org_and_resource_hold_together(world: World) -> None:
    limit(world, replace(CAPPED, max_in_flight=3))
    world.store.set_limits(QUEUE, {"small": Limits(max_in_flight=1)}, now_ms=world.now)
    world.enqueue("small", number=5, resource="mail")
    world.enqueue("large", number=5, resource="mail")

    taken = world.take(9)

    assert sorted(job.org for job in taken) == ["large", "large", "small"]
    check(world)


def test_a_purge_also_takes_what_waits_for_a_closed_resource(world: World) -> None:
    limit(world, replace(CAPPED, max_in_flight=0))
    world.enqueue("acme", number=5, resource="mail")
    world.take(1)

    assert world.store.purge(QUEUE, now_ms=world.now) == 5
    check(world)


def test_thousands_of_resources_are_published_in_steps_and_names_that_were_dropped_come_back(
    world: World,
) -> None:
    limits = {f"hook.{n}": ResourceLimits(max_in_flight=2) for n in range(1_200)}
    assert world.store.set_resources(limits, now_ms=world.now) == 1_200
    assert world.store.read_resources() == limits
    world.client.delete(world.store.key("resources"))
    assert world.store.read_resources() == {}
    assert world.store.set_resources(limits, now_ms=world.now) == 0, "the limits themselves are there"
    assert world.store.read_resources() == limits


def test_orgs_that_come_first_for_a_resource_are_counted(world: World) -> None:
    for org, number in (("acme", 3), ("globex", 1), ("initech", 2)):
        world.enqueue(org, number=number, resource="mail")
        world.enqueue(org, resource="pay")
    assert world.store.resource_orgs(QUEUE, "mail") == {"acme": 3, "globex": 1, "initech": 2}
    assert len(world.store.resource_orgs(QUEUE, "mail", limit=2)) == 2
    assert world.store.resource_orgs(QUEUE, "unknown") == {}
