"""Backlogs that stand beside small ones: due jobs by the hundred thousand, orgs by the thousand."""

from __future__ import annotations

from queueops.engine.rules.gates import Limits
from tests.engine.world import QUEUE, World


def test_one_orgs_many_due_jobs_do_not_keep_anothers_waiting(world: World) -> None:
    due = world.now + 60_000
    world.store.enqueue(QUEUE, (world.job("big", due_ms=due) for _ in range(20_000)), now_ms=world.now)
    world.enqueue("small", due_ms=due + 1)
    world.clock.advance(seconds=61)

    claims = []
    while not any(job.org == "small" for job in claims):
        claims += world.claim(free=1).jobs
        assert len(claims) <= 3


def test_many_due_jobs_are_promoted_a_few_at_a_time(world: World) -> None:
    due = world.now + 1000
    world.enqueue("big", number=1000, due_ms=due)
    world.clock.advance(seconds=1)

    claim = world.claim(free=1)

    assert claim.more, "the rest is due too"
    assert (world.queue().ready, world.queue().scheduled) == (15, 984)


def test_thousands_of_orgs_due_at_the_same_time_all_run(world: World) -> None:
    due = world.now + 1000
    world.store.enqueue(QUEUE, [world.job(f"org{n}", due_ms=due) for n in range(3000)], now_ms=world.now)
    world.clock.advance(seconds=1)

    jobs = world.take(3000)

    assert len({job.org for job in jobs}) == 3000


def test_open_orgs_are_served_beside_thousands_that_are_throttled(world: World) -> None:
    throttled = [f"slow{n}" for n in range(5000)]
    world.store.set_limits(QUEUE, dict.fromkeys(throttled, Limits(rpm=1)), now_ms=world.now)
    world.store.enqueue(QUEUE, [world.job(org) for org in throttled for _ in (1, 2)], now_ms=world.now)
    assert len(world.take(5000)) == 5000
    for number in range(10):
        world.enqueue(f"open{number}", number=12)

    answers = [world.claim(free=1) for _ in range(120)]

    assert sum(not answer.jobs for answer in answers) == 0


def test_ten_thousand_orgs_may_come_and_go(world: World) -> None:
    for start in range(0, 4000, 1000):
        world.store.enqueue(QUEUE, [world.job(f"org{start + n}") for n in range(1000)], now_ms=world.now)
        world.settle(*world.take(1000))

    picture = world.queue()
    assert (picture.orgs_waiting, picture.leased, picture.active_weight) == (0, 0, 0)
    assert picture.totals["succeeded"] == 4000
