"""The breaker of a resource: opens on failures, probes, closes or waits longer; or a person opens it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from queueops.engine.rules.gates import Breaker, ResourceLimits
from queueops.engine.types import Leased, Settlement
from tests.engine.invariants import check
from tests.engine.world import QUEUE, World

BREAKER = Breaker(
    failure_share=0.5, min_calls=4, window_seconds=60, open_seconds=30, longest_open_seconds=100, probes=2
)


def ready(world: World, jobs: int = 40) -> None:
    """Jobs for a resource with a breaker."""
    world.store.set_resources({"mail": ResourceLimits(breaker=BREAKER)}, now_ms=world.now)
    world.enqueue("acme", number=jobs, resource="mail")


def look(world: World) -> Any:
    """The picture of the resource."""
    return world.store.resource_snapshot("mail", now_ms=world.now)


def end(world: World, *jobs: Leased, failed: bool) -> None:
    """Settle jobs, as failures of the resource or as successes."""
    outcome: Any = "dead" if failed else "succeeded"
    world.store.settle(
        [Settlement(job.token, outcome, 10, {}, counts_as_failure=failed) for job in jobs], now_ms=world.now
    )


def trip(world: World) -> None:
    """Let it fail until it opens."""
    end(world, *world.take(4), failed=True)
    assert look(world).breaker == "open"


def test_it_opens_on_the_share_of_failures_and_says_why(world: World) -> None:
    ready(world)
    end(world, *world.take(2), failed=False)
    end(world, *world.take(1), failed=True)
    assert look(world).breaker == "closed", "one of three"
    end(world, *world.take(1), failed=True)

    picture = look(world)
    assert (picture.breaker, picture.gate) == ("open", "resource_breaker")
    assert picture.reason == "2 of 4 calls failed" and not picture.forced
    assert picture.until_ms == world.now + 30_000
    assert world.take(1) == []
    check(world)


def test_few_calls_say_nothing(world: World) -> None:
    ready(world)
    end(world, *world.take(3), failed=True)

    assert look(world).breaker == "closed"


def test_failures_of_the_last_window_fade(world: World) -> None:
    ready(world)
    end(world, *world.take(3), failed=True)
    world.clock.advance(seconds=130)
    end(world, *world.take(3), failed=True)

    assert look(world).breaker == "closed", "the first three are forgotten"


def test_other_errors_and_lost_workers_say_nothing(world: World) -> None:
    ready(world)
    jobs = world.take(8)
    world.store.settle([Settlement(job.token, "dead", 1, {}) for job in jobs[:6]], now_ms=world.now)
    world.store.release([job.token for job in jobs[6:]], lost=True, now_ms=world.now)

    assert (look(world).good, look(world).bad, look(world).breaker) == (0, 0, "closed")


def test_held_jobs_keep_their_place_and_their_attempts(world: World) -> None:
    ready(world)
    trip(world)
    waiting = look(world).waiting[QUEUE]
    for _ in range(20):
        world.clock.advance(seconds=1)
        assert world.take(9) == []

    assert look(world).waiting == {QUEUE: waiting}
    world.clock.advance(seconds=11)
    assert all(job.deliveries == 1 for job in world.take(9))


def test_a_few_probes_pass_and_when_they_succeed_it_closes(world: World) -> None:
    ready(world)
    trip(world)
    world.clock.advance(seconds=30)

    probes = world.take(9)
    assert len(probes) == 2
    assert look(world).breaker == "half_open" and look(world).probes_out == 2
    end(world, probes[0], failed=False)
    assert world.take(9) == [], "a success makes no room for a third probe"
    end(world, probes[1], failed=False)

    assert look(world).breaker == "closed" and look(world).opens == 0
    assert len(world.take(9)) == 9
    check(world)


def test_a_probe_that_fails_opens_it_for_twice_as_long_up_to_the_longest(world: World) -> None:
    ready(world)
    trip(world)
    for seconds in (60, 100, 100):
        world.clock.now_ms = look(world).until_ms
        [probe, *_] = world.take(1)
        end(world, probe, failed=True)
        assert look(world).until_ms - world.now == seconds * 1000


def test_it_tries_again_in_its_time_though_all_places_were_taken_when_a_probe_failed(world: World) -> None:
    quick = Breaker(min_calls=4, open_seconds=1, longest_open_seconds=4, probes=2)
    world.store.set_resources({"mail": ResourceLimits(breaker=quick)}, now_ms=world.now)
    world.enqueue("acme", number=20, resource="mail")
    trip(world)
    for seconds in (1, 2, 4, 4):
        world.clock.advance(seconds=seconds)
        # The claim of a third takes the ring out: until a place is free, or half a minute.
        probes = world.take(9)
        assert len(probes) == 2
        end(world, *probes, failed=True)
        check(world)


def test_a_probe_that_is_lost_gives_its_place_back(world: World) -> None:
    ready(world)
    trip(world)
    world.clock.advance(seconds=30)
    first = world.take(9)
    world.store.release([first[0].token], lost=True, now_ms=world.now)

    assert len(world.take(9)) == 1
    check(world)


def test_it_closes_when_fewer_probes_are_asked_for_than_have_passed(world: World) -> None:
    many = replace(BREAKER, probes=3)
    world.store.set_resources({"mail": ResourceLimits(breaker=many)}, now_ms=world.now)
    world.enqueue("acme", number=20, resource="mail")
    trip(world)
    world.clock.advance(seconds=30)
    probes = world.take(2)
    end(world, *probes, failed=False)
    assert look(world).breaker == "half_open"

    world.store.set_resources({"mail": ResourceLimits(breaker=BREAKER)}, now_ms=world.now)

    assert look(world).breaker == "closed" and look(world).opens == 0
    assert len(world.take(9)) == 9
    check(world)


def test_a_clock_that_steps_back_costs_an_opening_its_length_and_no_more(world: World) -> None:
    ready(world)
    world.beat()
    trip(world)
    world.take(1)
    world.clock.advance(seconds=-3600)
    world.beat()
    assert world.take(9) == []

    world.beat_for(30)

    assert len(world.take(9)) == 2
    assert look(world).breaker == "half_open"
    check(world)


def test_a_panic_until_a_time_is_over_at_that_time_also_when_the_clock_has_stepped_back(world: World) -> None:
    world.enqueue("acme", number=5, resource="mail")
    world.beat()
    world.store.panic("mail", until_ms=world.now + 60_000, now_ms=world.now)
    world.clock.advance(seconds=-60)
    world.beat()

    world.beat_for(119)
    assert world.take(9) == []
    world.beat_for(1)
    assert len(world.take(9)) == 3


def test_calls_from_before_the_opening_do_not_close_it(world: World) -> None:
    ready(world)
    early = world.take(3)
    trip(world)
    end(world, *early, failed=False)
    assert look(world).breaker == "open"

    world.clock.advance(seconds=30)
    slow = world.take(1)
    end(world, *world.take(1), failed=True)
    world.clock.advance(seconds=60)
    world.take(1)
    end(world, *slow, failed=False)
    assert look(world).probes_passed == 0, "a probe of an earlier round"


def test_panic_by_hand_ends_by_itself_through_probes(world: World) -> None:
    world.enqueue("acme", number=20, resource="mail")
    world.store.panic("mail", until_ms=world.now + 60_000, by="ann", reason="they are down", now_ms=world.now)

    picture = look(world)
    assert picture.breaker == "open" and picture.forced and picture.by == "ann"
    assert picture.reason == "they are down"
    assert world.take(9) == []
    world.clock.advance(seconds=60)
    probes = world.take(9)
    assert len(probes) == 3
    end(world, *probes, failed=False)
    assert look(world).breaker == "closed"
    assert len(world.take(9)) == 9


def test_panic_without_an_end_holds_until_it_is_taken_back(world: World) -> None:
    world.enqueue("acme", number=3, resource="mail")
    world.enqueue("acme", number=3, resource="pay")
    world.store.panic("mail", now_ms=world.now)
    assert [job.resource for job in world.take(9)] == ["pay"] * 3
    world.clock.advance(seconds=7200)
    assert world.take(9) == []

    assert world.store.panic_off("mail", now_ms=world.now)
    assert world.bell()
    assert len(world.take(9)) == 3
    assert not world.store.panic_off("mail", now_ms=world.now)
    check(world)


def test_a_retry_that_counts_as_a_failure_feeds_it(world: World) -> None:
    ready(world)
    for _ in range(4):
        job = world.one()
        retry = world.job(
            "acme", resource="mail", task_id=job.task_id, supersedes=job.token, counts_as_failure=True
        )
        assert world.store.enqueue(QUEUE, [retry], now_ms=world.now) == ["ready"]

    assert look(world).breaker == "open"


def test_resources_that_are_not_closed_are_found_without_a_look_at_the_others(world: World) -> None:
    for n in range(9):
        world.store.set_resources({f"calm{n}": ResourceLimits(breaker=BREAKER)}, now_ms=world.now)
    ready(world)
    assert world.store.alarmed() == []
    trip(world)
    world.store.panic("pay", by="maria", now_ms=world.now)

    assert world.store.alarmed() == ["mail", "pay"]
    world.store.panic_off("pay", now_ms=world.now)
    assert world.store.alarmed() == ["mail"]
