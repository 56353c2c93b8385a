"""limits.lua: settings change, and whoever they had closed is looked at again."""

from __future__ import annotations

import pytest

from queueops.engine.rules.gates import Limits
from queueops.errors import LimitInvalid
from tests.engine.world import QUEUE, World


def test_limits_are_read_back_as_they_were_set(world: World) -> None:
    limits = {
        "": Limits(max_in_flight=0),
        "a": Limits(weight=0.1, rpm=700, burst=20, max_in_flight=5, share=0.3, until_ms=world.now + 1),
        "b": Limits(rpm=0.25),
    }

    assert world.store.set_limits(QUEUE, limits, {"a": Limits(weight=2)}, now_ms=world.now) == 3

    read = world.store.read_limits(QUEUE)
    assert read == limits | {"b": Limits(rpm=0.25, burst=1)}
    assert world.store.set_limits(QUEUE, limits, {"a": Limits(weight=2)}, now_ms=world.now) == 0
    assert world.store.set_limits(QUEUE, {"a": None, "b": None}, now_ms=world.now) == 2
    assert world.store.read_limits(QUEUE) == {"": Limits(max_in_flight=0)}


def test_a_cap_of_zero_raised_to_five_opens_the_org_at_once(world: World) -> None:
    world.store.set_limits(QUEUE, {"acme": Limits(max_in_flight=0)}, now_ms=world.now)
    world.enqueue("acme", number=9)
    assert world.take(9) == []
    world.bell()

    world.store.set_limits(QUEUE, {"acme": Limits(max_in_flight=5)}, now_ms=world.now)

    assert world.bell()
    assert len(world.take(9)) == 5
    assert world.org().gate == "org_concurrency"


def test_a_raised_cap_does_not_wait_for_a_slot(world: World) -> None:
    world.store.set_limits(QUEUE, {"acme": Limits(max_in_flight=1)}, now_ms=world.now)
    world.enqueue("acme", number=5)
    assert len(world.take(5)) == 1

    world.store.set_limits(QUEUE, {"acme": Limits(max_in_flight=3)}, now_ms=world.now)

    assert len(world.take(5)) == 2


def test_a_lowered_cap_holds_from_the_next_claim(world: World) -> None:
    world.store.set_limits(QUEUE, {"acme": Limits(max_in_flight=3)}, now_ms=world.now)
    world.enqueue("acme", number=9)
    jobs = world.take(9)

    world.store.set_limits(QUEUE, {"acme": Limits(max_in_flight=1)}, now_ms=world.now)
    world.settle(jobs[0], jobs[1])
    assert world.take(9) == []
    world.settle(jobs[2])

    assert len(world.take(9)) == 1


def test_a_forgotten_wake_up_costs_half_a_minute(world: World) -> None:
    # As if a path that frees a slot had forgotten the org: its counter changes behind the engine's back.
    world.store.set_limits(QUEUE, {"acme": Limits(max_in_flight=1)}, now_ms=world.now)
    world.enqueue("acme", number=2)
    world.one()
    world.client.hset(world.store.key("org", queue=QUEUE, org="acme"), "n", 0)

    world.clock.advance(ms=29_999)
    assert world.take(1) == []
    world.clock.advance(ms=1)

    assert world.one()


def test_limits_that_end_by_themselves_open_what_they_closed(world: World) -> None:
    end = world.now + 7000
    temporary = {
        "capped": Limits(max_in_flight=0, until_ms=end),
        "rated": Limits(rpm=0.001, burst=1, until_ms=end),
    }
    world.store.set_limits(QUEUE, temporary, now_ms=world.now)
    world.enqueue("capped", number=3)
    world.enqueue("rated", number=3)
    assert [job.org for job in world.take(6)] == ["rated"]

    world.clock.advance(ms=6999)
    assert world.take(6) == []
    world.clock.advance(ms=1)

    assert sorted(job.org for job in world.take(6)) == ["capped"] * 3 + ["rated"] * 2
    assert world.org("capped").limits == temporary["capped"], "the row says that they have ended"


def test_the_limits_that_follow_hold_after_the_end(world: World) -> None:
    end = world.now + 1000
    limits = {"acme": Limits(max_in_flight=0, until_ms=end)}
    world.store.set_limits(
        QUEUE, limits | {"": Limits(max_in_flight=9)}, {"acme": Limits(max_in_flight=2)}, now_ms=world.now
    )
    world.enqueue("acme", number=5)
    assert world.take(5) == []

    world.clock.advance(seconds=1)

    assert len(world.take(5)) == 2


def test_without_limits_that_follow_the_default_does(world: World) -> None:
    limits = {"acme": Limits(max_in_flight=0, until_ms=world.now + 1000), "": Limits(max_in_flight=3)}
    world.store.set_limits(QUEUE, limits, now_ms=world.now)
    world.enqueue("acme", number=5)
    world.clock.advance(seconds=1)

    assert len(world.take(5)) == 3


def test_the_default_holds_for_all_but_the_exempt_org(world: World) -> None:
    world.store.set_queue(QUEUE, exempt_org="default", now_ms=world.now)
    world.store.set_limits(QUEUE, {"": Limits(max_in_flight=1)}, now_ms=world.now)
    for org in ("acme", "beta", "default"):
        world.enqueue(org, number=3)

    orgs = [job.org for job in world.take(9)]

    assert sorted(orgs) == ["acme", "beta", "default", "default", "default"]


def test_an_orgs_own_limits_replace_the_default_also_for_the_exempt_org(world: World) -> None:
    world.store.set_queue(QUEUE, exempt_org="default", now_ms=world.now)
    limits = {"": Limits(max_in_flight=1), "acme": Limits(weight=2), "default": Limits(max_in_flight=2)}
    world.store.set_limits(QUEUE, limits, now_ms=world.now)
    for org in ("acme", "default"):
        world.enqueue(org, number=4)

    assert sorted(job.org for job in world.take(9)) == ["acme"] * 4 + ["default"] * 2


def test_a_changed_default_opens_thousands_of_orgs(world: World) -> None:
    world.store.set_limits(QUEUE, {"": Limits(max_in_flight=0)}, now_ms=world.now)
    world.store.enqueue(QUEUE, [world.job(f"org{n}") for n in range(3000)], now_ms=world.now)
    assert world.take(1) == []

    world.store.set_limits(QUEUE, {"": Limits(max_in_flight=1)}, now_ms=world.now)
    for _ in range(3):
        world.beat()

    assert len(world.take(3000)) == 3000


def test_removing_the_default_opens_too(world: World) -> None:
    world.store.set_limits(QUEUE, {"": Limits(max_in_flight=0)}, now_ms=world.now)
    world.enqueue("acme")
    assert world.take(1) == []
    world.bell()

    world.store.set_limits(QUEUE, {"": None}, now_ms=world.now)

    assert world.bell()
    assert world.one()


def test_a_weight_that_changes_counts_at_once_for_an_active_org(world: World) -> None:
    world.enqueue("acme", number=2)
    world.enqueue("beta", number=2)
    assert world.queue().active_weight == 2

    world.store.set_limits(QUEUE, {"acme": Limits(weight=5)}, now_ms=world.now)
    assert world.queue().active_weight == 6
    jobs = world.take(4)
    assert world.queue().active_weight == 6
    world.store.set_limits(QUEUE, {"acme": Limits(weight=0.5)}, now_ms=world.now)
    assert world.queue().active_weight == 1.5

    world.settle(*jobs)
    assert world.queue().active_weight == 0


def test_a_default_weight_that_changes_counts_when_the_org_is_seen(world: World) -> None:
    world.enqueue("acme", number=4)
    world.store.set_limits(QUEUE, {"": Limits(weight=3)}, now_ms=world.now)

    world.one()
    assert world.queue().active_weight == 3
    assert world.org().virtual_time_ms == pytest.approx(100 / 3)


def test_a_weight_that_changed_during_a_run_counts_for_the_whole_run(world: World) -> None:
    world.enqueue("acme", number=3)
    job = world.one()
    assert world.org().virtual_time_ms == 100
    world.store.set_limits(QUEUE, {"acme": Limits(weight=10)}, now_ms=world.now)

    world.store.release([job.token], now_ms=world.now)

    assert world.org().virtual_time_ms == 0


def test_limits_of_orgs_nobody_has_seen_leave_no_running_state(world: World) -> None:
    world.store.set_limits(QUEUE, {f"org{n}": Limits(weight=2) for n in range(10)}, now_ms=world.now)

    assert set(world.keyspace()) == {"qo1:gates:standard"}


@pytest.mark.parametrize(
    "settings", [{"concurrency": -1}, {"fair_by": "luck"}, {"delivery_limit": 0}, {"concurrency": 10**9}]
)
def test_settings_that_make_no_sense_are_refused(world: World, settings: dict[str, object]) -> None:
    with pytest.raises(LimitInvalid):
        world.store.set_queue(QUEUE, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        {"weight": 0},
        {"weight": float("nan")},
        {"rpm": 0},
        {"rpm": float("inf")},
        {"burst": 5},
        {"rpm": 1, "burst": 0},
        {"max_in_flight": -1},
        {"share": 0},
        {"share": 1.1},
        {"until_ms": -1},
    ],
)
def test_limits_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(LimitInvalid):
        Limits(**settings)  # type: ignore[arg-type]
