"""reap.lua: the beat of a worker, and what happens to leases nobody renews."""

from __future__ import annotations

import pytest

from queueops.engine.rules.gates import Limits
from tests.engine.world import QUEUE, World

HOUR_MS = 3_600_000


@pytest.fixture
def living(world: World) -> World:
    """A world whose pulse has been steady for a while."""
    world.beat()
    world.beat_for(31)
    return world


def lapse(world: World) -> None:
    """Let leases of now lapse, unseen by a beat so far, and the pulse is not old."""
    world.beat_for(28)
    world.clock.advance(seconds=2, ms=1)


def test_an_expired_lease_goes_back_with_its_rank_and_counts_as_a_delivery(living: World) -> None:
    living.enqueue("acme")
    job = living.one()

    assert living.beat_for(29) == 0
    assert living.beat_for(2) == 1

    again = living.one("w2")
    assert (again.tag, again.rank_ms, again.deliveries) == (job.tag, job.rank_ms, 2)
    assert living.settle(job) == ["stale"]
    assert living.settle(again) == ["settled"]
    assert living.queue().totals["lost"] == 1


def test_a_process_that_lapsed_is_struck_off(living: World) -> None:
    living.register("w1")
    living.enqueue("acme", number=3)
    living.take(3)

    assert living.beat_for(31) == 3

    keys = living.keyspace()
    assert not keys.keys() & {"qo1:held:w1", "qo1:holders", "qo1:workers", "qo1:slots:standard"}
    assert living.queue().slots == 0


def test_a_job_that_was_lost_too_often_dies(living: World) -> None:
    living.enqueue("acme")
    for delivery in (1, 2, 3):
        assert living.one(f"w{delivery}").deliveries == delivery
        assert living.beat_for(31) == 1

    [letter] = living.store.dead_read()
    assert (letter.deliveries, letter.detail["reason"], letter.detail["worker"]) == (3, "worker_lost", "w3")
    assert living.take(1) == []


def test_a_job_that_must_not_run_twice_dies_with_its_worker(living: World) -> None:
    living.enqueue("acme", once=True)
    living.one()

    assert living.beat_for(31) == 1

    assert living.store.dead_read()[0].detail["reason"] == "worker_lost"
    assert living.queue().leased == 0


def test_claims_that_want_more_reap_a_few_and_ask_again(living: World) -> None:
    living.enqueue("acme", number=40)
    living.take(40)
    lapse(living)

    answers = [living.claim(free=100, holder="w2") for _ in range(5)]

    assert [(len(answer.jobs), answer.more) for answer in answers] == [
        (0, True),
        (16, True),
        (16, True),
        (8, False),
        (0, False),
    ]


def test_one_lease_set_serves_all_queues(living: World) -> None:
    # Only the workers of one queue are left; they reap what those of the other held.
    living.enqueue("acme", queue="bulk")
    living.one("dead", queues=("bulk",))
    lapse(living)

    living.claim(holder="alive", queues=("critical",))

    assert living.queue("bulk").leased == 0
    assert living.bell("bulk")


def test_a_reaped_slot_opens_what_it_closed_and_rings(living: World) -> None:
    living.store.set_limits(QUEUE, {"acme": Limits(max_in_flight=1)}, now_ms=living.now)
    living.enqueue("acme", number=2)
    living.one()
    living.bell()

    living.beat_for(31)

    assert living.bell()
    assert living.org().in_flight == 0
    assert len(living.take(2, "w2")) == 1


def test_a_beat_ends_so_many_leases_at_most(living: World) -> None:
    living.enqueue("acme", number=1200)
    while living.claim(free=500).jobs:
        pass
    lapse(living)

    assert [living.beat() for _ in range(4)] == [500, 500, 200, 0]
    assert living.queue().leased == 0


def test_after_an_absence_the_living_renew_first(living: World) -> None:
    living.enqueue("acme", number=2)
    kept, lost = living.one("alive"), living.one("dead")
    living.clock.advance(seconds=40)  # the broker was away: no beat reached it

    assert living.beat() == 0
    assert living.claim(holder="other").jobs == []
    living.renew("alive", {kept.token: 40_000})
    reaped = 0
    for _ in range(4):
        reaped += living.beat_for(10)
        living.renew("alive", {kept.token: 50_000})

    assert reaped == 1
    assert living.settle(kept, lost) == ["settled", "stale"]


def test_a_claim_reaps_nothing_while_the_pulse_is_old(living: World) -> None:
    living.enqueue("acme")
    living.one("w1")
    living.clock.advance(seconds=40)

    assert living.claim(holder="w2").jobs == []


def test_a_clock_that_steps_forward_lapses_no_lease(living: World) -> None:
    living.enqueue("acme")
    job = living.one()
    living.clock.advance(ms=HOUR_MS)

    assert living.beat() == 0
    living.renew("w1", {job.token: 1})
    assert living.beat_for(25) == 0
    assert living.settle(job) == ["settled"]


def test_a_clock_that_steps_back_leaves_no_lease_in_its_former_future(living: World) -> None:
    living.enqueue("acme")
    living.one("dead")
    living.clock.advance(ms=-HOUR_MS)

    assert living.beat() == 0
    assert living.beat_for(29) == 0
    assert living.beat_for(2) == 1


def test_a_clock_that_steps_back_closes_no_org_for_its_step(living: World) -> None:
    limits = {"rated": Limits(rpm=60, burst=2), "capped": Limits(max_in_flight=1), "paused": Limits()}
    living.store.set_limits(QUEUE, limits, now_ms=living.now)
    living.store.pause(QUEUE, "paused", until_ms=living.now + 5000, now_ms=living.now)
    for org in limits:
        living.enqueue(org, number=10)
    assert len(living.take(10)) == 3
    living.clock.advance(ms=-HOUR_MS)
    living.beat()

    assert living.take(10) == [], "the rate counts as used up, its whole burst, and no more than that"
    living.beat_for(1)

    assert {job.org for job in living.take(10)} == {"rated"}
    living.store.set_limits(QUEUE, {"capped": Limits(max_in_flight=2)}, now_ms=living.now)
    assert {job.org for job in living.take(10)} == {"capped"}


def test_a_clock_that_steps_back_wakes_more_closed_orgs_than_one_beat_looks_at(living: World) -> None:
    living.store.set_limits(QUEUE, {"": Limits(rpm=60, burst=1)}, now_ms=living.now)
    living.store.enqueue(
        QUEUE, [living.job(f"org{n}") for n in range(2500) for _ in (1, 2)], now_ms=living.now
    )
    living.store.enqueue(
        QUEUE, [living.job(f"later{n}", due_ms=living.now + HOUR_MS) for n in range(1500)], now_ms=living.now
    )
    assert len(living.take(2500)) == 2500
    living.clock.advance(ms=-HOUR_MS)
    living.beat()

    living.beat_for(8)
    assert living.take(2600) == []
    living.beat_for(1)

    assert len(living.take(2600)) == 2500
    assert not [field for field in living.keyspace()["qo1:pulse"] if field.startswith("wake:")]
    assert living.queue().scheduled == 1500, "a job's own time is not the clock's fault"


def test_the_first_beat_ever_starts_with_a_grace(world: World) -> None:
    world.enqueue("acme")
    world.one()
    world.clock.advance(seconds=31)

    assert world.beat() == 0
    assert world.beat_for(29) == 0
    assert world.beat_for(1) == 1
