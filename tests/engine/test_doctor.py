"""The doctor's scripts: a healthy broker shows nothing; what is broken by hand is found and mended."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from queueops.engine.doctor_verbs import Difference
from queueops.engine.rules.gates import Limits, ResourceLimits
from tests.engine import invariants
from tests.engine.world import QUEUE, World


def look(world: World, repair: bool = False) -> list[Difference]:
    found: list[Difference] = []
    for queue in (QUEUE, "bulk"):
        differences, _, summed = world.store.check_queue(queue, repair=repair, now_ms=world.now)
        assert summed
        found += differences
    found += world.store.check_leases(repair=repair, now_ms=world.now)[0]
    return found + world.store.check_jobs(repair=repair, now_ms=world.now)[0]


def kinds(found: list[Difference]) -> set[str]:
    return {one.kind for one in found}


@pytest.fixture
def busy(world: World) -> World:
    """Something of everything."""
    store, now = world.store, world.now
    store.set_queue(QUEUE, concurrency=50, now_ms=now)
    store.set_limits(
        QUEUE, {"acme": Limits(weight=2.5, max_in_flight=2), "rated": Limits(rpm=60)}, now_ms=now
    )
    store.set_resources({"mail": ResourceLimits(max_in_flight=1)}, now_ms=now)
    world.register(slots=8)
    world.enqueue("acme", number=5)
    world.enqueue("acme", number=2, resource="sms")
    world.enqueue("rated", number=3)
    for number in range(6):
        world.enqueue(f"org{number}", number=2, resource="mail")
    world.enqueue("later", number=3, due_ms=now + 60_000)
    [parent] = world.enqueue("beta")
    world.enqueue("beta", after=(parent.task_id,))
    world.enqueue("beta", unique="digest")
    [kept] = world.enqueue("gamma")
    world.store.hold(kept.task_id, now_ms=now)
    world.enqueue("acme", number=2, queue="bulk")
    store.pause(QUEUE, "delta", now_ms=now)
    world.enqueue("delta")
    store.pause(QUEUE, task="paused.task", now_ms=now)
    world.enqueue("epsilon", task="paused.task")
    world.enqueue("epsilon")
    assert len(world.take(4)) == 4
    world.take(1, holder="w2", queues=["bulk"])
    invariants.check(world)
    return world


def test_a_healthy_broker_shows_nothing(busy: World) -> None:
    before = busy.keyspace()
    assert look(busy) == []
    assert busy.keyspace() == before
    assert look(busy, repair=True) == []
    assert busy.keyspace() == before


def test_an_empty_broker_shows_nothing(world: World) -> None:
    assert look(world, repair=True) == []
    assert world.keyspace() == {}


def key(world: World, family: str, **names: str) -> str:
    return world.store.key(family, **names)


def slots(w: World) -> None:
    w.client.hincrby(key(w, "org", queue=QUEUE, org="acme"), "n", 3)


def queue_slots(w: World) -> None:
    w.client.hset(key(w, "queue", queue=QUEUE), "n", 0)


def lanes(w: World) -> None:
    w.client.hset(key(w, "org", queue=QUEUE, org="org3"), "l", "")


def org_state(w: World) -> None:
    w.client.delete(key(w, "org", queue=QUEUE, org="org3"))


def ring(w: World) -> None:
    w.client.zrem(key(w, "ring", queue=QUEUE, resource=""), "beta")


def ring_too_many(w: World) -> None:
    w.client.zadd(key(w, "ring", queue=QUEUE, resource=""), {"nobody": 1.0})


def open_ring(w: World) -> None:
    w.client.zrem(key(w, "rings", queue=QUEUE), "")


def closing(w: World) -> None:
    w.client.zrem(key(w, "timers", queue=QUEUE), "odelta")
    w.client.hset(key(w, "org", queue=QUEUE, org="org1"), "c", "org_rate")


def wake_up(w: World) -> None:
    w.client.zrem(key(w, "timers", queue=QUEUE), "slater")


def scheduled(w: World) -> None:
    w.client.hset(key(w, "queue", queue=QUEUE), "scheduled", 77)


def waiting(w: World) -> None:
    w.client.hincrby(key(w, "queue", queue=QUEUE), "o", -1)


def weights(w: World) -> None:
    w.client.hincrbyfloat(key(w, "queue", queue=QUEUE), "W", 1.5)
    w.client.hincrby(key(w, "queue", queue=QUEUE), "A", 2)


def org_weight(w: World) -> None:
    w.client.hset(key(w, "org", queue=QUEUE, org="beta"), "a", 0)


def resource_sum(w: World) -> None:
    w.client.hset(key(w, "resource", resource="mail"), f"A:{QUEUE}", 40)


def depth_short(w: World) -> None:
    w.client.lrem(key(w, "depth", queue=QUEUE), 3, "")


def depth_long(w: World) -> None:
    w.client.rpush(key(w, "depth", queue=QUEUE), "", "")
    w.client.lpush(key(w, "depth", queue=QUEUE), "a message of stock Celery")


def unlisted(w: World) -> None:
    w.client.zrem(key(w, "holders"), "w2")


def worker_slots(w: World) -> None:
    w.client.hset(key(w, "queue", queue=QUEUE), "slots", 5)


def ghost_slots(w: World) -> None:
    w.client.hset(key(w, "slots", queue=QUEUE), "w9", 4)


def ghost_worker(w: World) -> None:
    w.register("w8", slots=3)
    w.client.zrem(key(w, "holders"), "w8")


def resource_slots(w: World) -> None:
    w.client.hset(key(w, "resource", resource="mail"), "n", 9)


def put_aside(w: World) -> None:
    w.client.hdel(key(w, "gates", queue=QUEUE), "tasks", "#paused.task")


def astray(w: World) -> None:
    w.client.delete(key(w, "lane", queue=QUEUE, resource="", org="beta"))


def lost_lease(w: World) -> None:
    w.client.delete(key(w, "held", holder="w2"))


def two_places(w: World) -> None:
    [tag] = w.client.zrange(key(w, "lane", queue=QUEUE, resource="", org="rated"), 0, 0)
    w.client.zadd(key(w, "scheduled", queue=QUEUE, org="rated"), {tag: w.now + 5})


def index(w: World) -> None:
    [job] = w.enqueue("acme")
    w.client.hdel(key(w, "ids"), job.task_id)
    w.client.hset(key(w, "ids"), "ghost", f"{QUEUE}\tnowhere")


def unique(w: World) -> None:
    w.client.set(key(w, "unique", digest="old"), "0\tnobody")


def blocked_by_nothing(w: World) -> None:
    tag = w.client.zrange(key(w, "blocked", queue=QUEUE), 0, 0)[0]
    for parents in w.client.scan_iter(match=f"{w.store.prefix}qo1:parents:*"):
        if parents.decode().endswith(tag.decode()):
            for parent in w.client.smembers(parents):
                children = key(w, "children", queue=QUEUE, parent=parent.decode())
                w.client.delete(children)
                w.client.hdel(key(w, "marks"), parent)
            w.client.delete(parents)


def unknown_child(w: World) -> None:
    for children in w.client.scan_iter(match=f"{w.store.prefix}qo1:children:*"):
        w.client.delete(children)


BROKEN: dict[Callable[[World], None], set[str]] = {
    slots: {"slots of an org"},
    queue_slots: {"slots of the queue"},
    lanes: {"lanes of an org"},
    org_state: {"lanes of an org"},
    ring: {"place in a ring"},
    ring_too_many: {"place in a ring"},
    open_ring: {"open ring"},
    closing: {"end of a closing"},
    wake_up: {"wake-up of scheduled jobs"},
    scheduled: {"scheduled jobs"},
    waiting: {"orgs with ready jobs"},
    weights: {"weight of active orgs", "number of active orgs"},
    org_weight: {"weight of an org"},
    resource_sum: {"active orgs of a resource"},
    depth_short: {"depth list"},
    depth_long: {"depth list"},
    unlisted: {"unlisted process"},
    worker_slots: {"slots of the workers"},
    ghost_slots: {"slots of a worker", "slots of the workers"},
    ghost_worker: {"registration"},
    resource_slots: {"slots of a resource"},
    put_aside: {"jobs put aside"},
    astray: {"place of a job"},
    lost_lease: {"place of a job", "slots of an org"},
    two_places: {"place of a job"},
    index: {"index of jobs"},
    unique: {"unique key"},
    blocked_by_nothing: {"blocked job"},
    unknown_child: {"child of a job"},
}


@pytest.mark.parametrize("fault", BROKEN, ids=lambda fault: fault.__name__)
def test_what_is_broken_is_found_mended_and_right_afterwards(
    busy: World, fault: Callable[[World], None]
) -> None:
    fault(busy)

    found = look(busy)

    assert BROKEN[fault] <= kinds(found), found
    for one in found:
        assert one.wanted != one.found
    for _ in range(3):  # a job that is put back changes the numbers of its org
        if not look(busy, repair=True):
            break
    assert look(busy) == []
    if fault is not depth_long:
        invariants.check(busy)
    # And every job can still run.
    busy.store.resume(QUEUE, "delta", now_ms=busy.now)
    left = len(busy.keyspace().get("qo1:ids", {}))
    assert left >= 20


@pytest.mark.parametrize("seed", range(3))
def test_many_things_broken_at_once(busy: World, seed: int) -> None:
    dice = random.Random(seed)
    some = [fault for fault in dice.sample(list(BROKEN), 10) if fault is not depth_long]
    for fault in some:
        fault(busy)
    for _ in range(4):
        if not look(busy, repair=True):
            break
    assert look(busy) == []
    invariants.check(busy)


def test_what_must_not_run_twice_becomes_a_dead_letter(world: World) -> None:
    [job] = world.enqueue("acme", once=True)
    world.take(1)
    world.client.delete(world.store.key("held", holder="w1"))
    look(world, repair=True)
    [entry] = world.store.dead_read()
    assert (entry.task_id, entry.detail["error"]) == (job.task_id, "Astray")
    assert world.take(1) == []


def test_a_parent_that_nobody_knows_is_told_and_left_to_a_person(world: World) -> None:
    [parent] = world.enqueue("acme")
    world.enqueue("acme", after=(parent.task_id,))
    world.client.delete(world.store.key("job", queue=QUEUE, tag=parent.tag))
    world.client.hdel(world.store.key("ids"), parent.task_id)
    assert "parent of a blocked job" in kinds(look(world))
    assert "parent of a blocked job" in kinds(look(world, repair=True))


def test_many_orgs_are_looked_at_one_by_one_and_added_up_on_request(world: World) -> None:
    for number in range(0, 3000, 500):
        jobs = [world.job(f"org{number + n}") for n in range(500)]
        world.store.enqueue(QUEUE, jobs, now_ms=world.now)
    world.client.hincrby(key(world, "org", queue=QUEUE, org="org2000"), "n", 2)
    world.client.hincrby(key(world, "queue", queue=QUEUE), "o", 2)

    found, orgs, summed = world.store.check_queue(QUEUE, now_ms=world.now)
    assert ([one.kind for one in found], orgs, summed) == (["slots of an org"], 3000, False)
    found, orgs, summed = world.store.check_queue(QUEUE, thorough=True, now_ms=world.now)
    assert (kinds(found), orgs, summed) == ({"slots of an org", "orgs with ready jobs"}, 3000, True)
    world.store.check_queue(QUEUE, thorough=True, repair=True, now_ms=world.now)
    assert world.store.check_queue(QUEUE, thorough=True, now_ms=world.now) == ([], 3000, True)
    assert world.store.check_queue(QUEUE, now_ms=world.now) == ([], 3000, False)
