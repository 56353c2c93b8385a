"""After everything has ended, only what is documented here is left in Redis."""

from __future__ import annotations

import random

from queueops.engine.rules.gates import Limits
from tests.engine.world import QUEUE, World

#: What may outlive all jobs, and why.
ALLOWED = {
    "qo1:queues": "names of queues are few",
    "qo1:queue:": "counters since ever",
    "qo1:gates:": "settings are the operator's",
    "qo1:means": "one number a task",
    "qo1:totals": "counters",
    "qo1:existing": "one number a task",
    "qo1:pulse": "the last beat",
    "qo1:bell:": "one element; the next idle worker takes it",
    "qo1:dead": "until the rows are in the database",
    "qo1:graves": "until the letters are replayed, discarded or purged",
    "qo1:ended:": "expires after three minutes",
    "qo1:org:": "expires when idle",
    "qo1:resource:": "expires when idle and without settings",
    "qo1:resources": "names; a list of resources drops those that expired",
    "qo1:minute:": "expires after an hour",
    "qo1:hour:": "expires after eight days",
    "qo1:slowest:": "expires after a day",
    "qo1:counts:": "counters since ever",
    "qo1:tasks:": "at most 200 names of tasks",
    "qo1:settled:": "at most 10,000 lines",
    "qo1:failures:": "at most 1,000 lines",
}
EXPIRE = ("qo1:ended:", "qo1:org:", "qo1:resource:", "qo1:minute:", "qo1:hour:", "qo1:slowest:")


def left_over(world: World) -> set[str]:
    """Keys that nobody may leave behind."""
    return {key for key in world.keyspace() if not key.startswith(tuple(ALLOWED))}


def test_a_day_with_everything_in_it_leaves_nothing_behind(world: World) -> None:
    seeded = random.Random(7)
    limits = {"a": Limits(rpm=6000, burst=3), "b": Limits(max_in_flight=2), "c": Limits(share=0.5, weight=3)}
    world.store.set_limits(QUEUE, limits, now_ms=world.now)
    world.store.set_queue(QUEUE, concurrency=12, now_ms=world.now)
    world.beat()
    for holder in ("w1", "w2"):
        world.register(holder, slots=8, queues=(QUEUE, "bulk"))
    held = []
    for step in range(250):
        org, queue = seeded.choice("abcde"), seeded.choice((QUEUE, "bulk"))
        action = seeded.random()
        if action < 0.5:
            due = world.now + seeded.choice((0, 0, 500, 5000))
            resource = seeded.choice(("", "", "mail"))
            world.enqueue(
                org,
                seeded.randint(1, 3),
                queue,
                due_ms=due,
                resource=resource,
                once=seeded.random() < 0.2,
                patience_ms=seeded.choice((0, 1000, 10_000)),
            )
        elif action < 0.55:
            world.store.pause(queue, seeded.choice(("", org)), until_ms=world.now + 700, now_ms=world.now)
        elif action < 0.57:
            world.store.purge(queue, now_ms=world.now)
        held += world.take(seeded.randint(1, 4), seeded.choice(("w1", "w2")), queues=(queue, QUEUE))
        seeded.shuffle(held)
        while len(held) > 6:
            job = held.pop()
            end = seeded.random()
            if end < 0.5:
                world.settle(job, run_ms=seeded.uniform(1, 500))
            elif end < 0.6:
                world.settle(job, outcome="dead", detail={"reason": "failed"})
            elif end < 0.7:
                world.store.enqueue(job.queue, [world.job(job.org, supersedes=job.token)], now_ms=world.now)
            elif end < 0.85:
                world.store.release([job.token], delay_ms=seeded.choice((0, 300)), now_ms=world.now)
            else:
                world.store.release([job.token], lost=True, now_ms=world.now)
        world.clock.advance(ms=seeded.randint(1, 400))
        if step % 20 == 0:
            world.beat_for(1)
            for holder in ("w1", "w2"):
                ran = {job.token: 50 for job in held if job.token.startswith(holder)}
                world.register(holder, slots=8, queues=(QUEUE, "bulk"))
                world.renew(holder, ran)
    for _ in range(200):
        world.settle(*held)
        world.clock.advance(ms=100)
        held = world.take(50, queues=(QUEUE, "bulk"))
        if not held and not world.queue().scheduled and not world.queue().ready:
            break
    for holder in ("w1", "w2"):
        world.store.leave(holder, now_ms=world.now)

    assert left_over(world) == set()
    for queue in (QUEUE, "bulk"):
        picture = world.queue(queue)
        assert (picture.ready, picture.scheduled, picture.leased, picture.orgs_waiting) == (0, 0, 0, 0)
        assert picture.active_weight == 0
        ended = sum(picture.totals[name] for name in ("succeeded", "dead", "cancelled", "retried"))
        assert picture.totals["enqueued"] == ended
    for key in world.keyspace():
        if key.startswith(EXPIRE):
            assert world.client.pttl(world.store.prefix + key) > 0, key


def test_jobs_that_waited_for_others_leave_nothing_behind(world: World) -> None:
    """Every way a job with marks can end, many times."""
    seeded = random.Random(11)
    world.beat()
    for step in range(300):
        known = sorted(world.keyspace().get("qo1:ids", {"nobody": ""}))
        task = seeded.choice(known)
        action = seeded.random()
        if action < 0.4:
            job = world.job(
                seeded.choice("abc"),
                after=() if task == "nobody" else (task,),
                cancel_with_parent=seeded.random() < 0.5,
                unique=seeded.choice(("", f"u{step}")),
                due_ms=world.now + seeded.choice((0, 300)),
            )
            world.store.enqueue(seeded.choice((QUEUE, "bulk")), [job], now_ms=world.now)
        elif action < 0.5:
            world.store.cancel(task, now_ms=world.now)
        elif action < 0.55:
            world.store.hold(task, now_ms=world.now)
        elif action < 0.65:
            world.store.release_job(task, now_ms=world.now)
        elif action < 0.67:
            world.store.purge(QUEUE, now_ms=world.now)
        for job_ in world.take(3, queues=(QUEUE, "bulk")):
            world.settle(job_, outcome=seeded.choice(("succeeded", "succeeded", "dead", "cancelled")))
        world.clock.advance(ms=seeded.randint(1, 400))
    for task in world.keyspace().get("qo1:ids", {}):
        world.store.cancel(task, now_ms=world.now)
    world.take(1, queues=(QUEUE, "bulk"))
    world.store.leave("w1", now_ms=world.now)

    assert left_over(world) == set()
    for queue in (QUEUE, "bulk"):
        totals = world.queue(queue).totals
        assert totals["enqueued"] == sum(totals[name] for name in ("succeeded", "dead", "cancelled"))


def test_the_state_of_an_active_org_does_not_expire_and_that_of_an_idle_one_does(world: World) -> None:
    key = world.store.key("org", queue=QUEUE, org="acme")
    world.enqueue("acme", number=2)
    assert world.client.pttl(key) == -1
    world.settle(*world.take(2))
    assert world.client.pttl(key) > 0

    world.enqueue("acme")
    assert world.client.pttl(key) == -1, "the next job takes the expiry away"
    job = world.one()
    assert world.client.pttl(key) == -1
    world.settle(job)
    assert world.client.pttl(key) > 0


def test_an_org_far_ahead_of_its_queue_is_remembered_until_the_queue_can_have_passed_it(world: World) -> None:
    world.store.set_limits(QUEUE, {"light": Limits(weight=0.1)}, now_ms=world.now)
    world.enqueue("heavy", number=2)
    world.enqueue("light")
    jobs = world.take(2)
    world.settle(*jobs, run_ms=600_000)

    assert world.client.pttl(world.store.key("org", queue=QUEUE, org="light")) > 4_000_000
