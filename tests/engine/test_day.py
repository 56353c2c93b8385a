"""A day of jobs leaves no key behind but those that are few, and those that expire."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.engine.world import QUEUE, World

QUEUES = (QUEUE, "bulk")
TASKS = ("shop.mail", "shop.pay", "shop.report")
STEP_MS = 10 * 60_000
STEPS_A_DAY = 144
#: Longest time to live of what expires, in ms: as documented, and a little more.
LONGEST_MS = {
    "qo1:minute:": 63 * 60_000,
    "qo1:hour:": 194 * 3_600_000,
    "qo1:slowest:": 26 * 3_600_000,
    "qo1:ended:": 4 * 60_000,
    "qo1:org:": 24 * 3_600_000,
    "qo1:resource:": 24 * 3_600_000,
}


def day(world: World, seeded: random.Random) -> Iterator[int]:
    """Let a day pass; yields after every step how many jobs have ended in it."""
    for _ in range(STEPS_A_DAY):
        ended = 0
        for queue in QUEUES:
            for org in ("a", "b", "c"):
                resource = seeded.choice(("", "mail"))
                world.enqueue(org, 10, queue, task=seeded.choice(TASKS), resource=resource)
            world.enqueue("d", 2, queue, due_ms=world.now + 1000)
            jobs = world.take(30, queues=(queue,))
            world.settle(*jobs[5:], run_ms=seeded.uniform(1, 2000))
            world.settle(*jobs[3:5], outcome="dead", detail={"error": "E", "message": "no"})
            again = [world.job(job.org, task=job.task, supersedes=job.token, error="E") for job in jobs[:3]]
            world.store.enqueue(queue, again, now_ms=world.now)
            world.clock.advance(ms=2000)
            while jobs := world.take(30, queues=(queue,)):
                world.settle(*jobs)
                ended += len(jobs)
            ended += 30
        world.beat()
        world.clock.advance(ms=STEP_MS)
        yield ended


def lasting(world: World) -> set[str]:
    """Keys that do not expire."""
    keys = sorted(world.keyspace())
    lives = {key: world.client.pttl(world.store.prefix + key) for key in keys}
    for key, ms in lives.items():
        for family, longest in LONGEST_MS.items():
            if key.startswith(family) and ms != -1:
                assert ms <= longest, key
        assert not key.startswith(("qo1:minute:", "qo1:hour:", "qo1:slowest:", "qo1:ended:")) or ms > 0, key
    return {key for key, ms in lives.items() if ms == -1}


def test_what_lasts_after_a_day_is_what_lasted_after_two_hours(world: World) -> None:
    seeded = random.Random(11)
    world.beat()
    today = day(world, seeded)
    ended = sum(next(today) for _ in range(12))
    after_two_hours = lasting(world)
    ended += sum(today)
    ended += sum(day(world, seeded))

    assert ended > 15_000
    assert lasting(world) == after_two_hours
    hours = [bucket.ended for bucket in world.store.history(hours=72, now_ms=world.now)]
    assert sum(hours) == ended
    assert len(world.store.recent("settled", 100_000, QUEUE, now_ms=world.now)) <= 10_752
