"""The health of a queue: the guide's thresholds, and a project's own."""

from __future__ import annotations

import pytest

from queueops.engine.rules.health import DEFAULTS, thresholds
from queueops.engine.rules.settings import load
from queueops.errors import ConfigurationError
from queueops.ops.health import Health, Level, combined, judged

GOOD = {"active_share": 0.1, "waiting": 0.0, "failure_share": 0.0, "wait_seconds": 0.1}


def level(**values: float | None) -> Level:
    return judged({**GOOD, **values}, DEFAULTS).level


@pytest.mark.parametrize(
    ("signal", "healthy", "degraded", "unhealthy"),
    [
        ("active_share", 0.79, (0.8, 0.95), 0.951),
        ("waiting", 999, (1000, 5000), 5001),
        ("failure_share", 0.049, (0.05, 0.1), 0.101),
        ("wait_seconds", 29.9, (30, 120), 120.1),
    ],
)
def test_the_thresholds_of_the_guide(
    signal: str, healthy: float, degraded: tuple[float, float], unhealthy: float
) -> None:
    assert level(**{signal: healthy}) == Level.HEALTHY
    assert [level(**{signal: value}) for value in degraded] == [Level.DEGRADED] * 2
    assert level(**{signal: unhealthy}) == Level.UNHEALTHY


def test_the_worst_signal_wins_and_what_is_not_known_is_not_judged() -> None:
    found = judged({**GOOD, "waiting": 1000, "failure_share": 0.5, "active_share": None}, DEFAULTS)

    assert found.level == Level.UNHEALTHY
    assert {signal.name: signal.level for signal in found.signals} == {
        "active_share": None,
        "waiting": Level.DEGRADED,
        "failure_share": Level.UNHEALTHY,
        "wait_seconds": Level.HEALTHY,
    }
    assert judged(dict.fromkeys(GOOD), DEFAULTS).level == Level.HEALTHY


def test_queues_together_show_the_worst_of_each_signal() -> None:
    busy = judged({**GOOD, "waiting": 1200}, DEFAULTS)
    full = judged({**GOOD, "waiting": 1100, "active_share": 0.99}, DEFAULTS)
    idle = judged(dict.fromkeys(GOOD), DEFAULTS)

    found = combined([busy, full, idle])

    assert found.level == Level.UNHEALTHY
    assert {signal.name: signal.value for signal in found.signals} == {
        **GOOD,
        "waiting": 1200,
        "active_share": 0.99,
    }
    assert combined([]) == Health(Level.HEALTHY, ())


def test_a_project_sets_its_own_thresholds_of_a_queue() -> None:
    config = load({"QUEUES": {"bulk": {"health": {"waiting": (10, 20)}}}}, None, {})

    assert config.queue("bulk").health == {**DEFAULTS, "waiting": (10, 20)}
    assert config.queue("standard").health == config.queue("declared elsewhere").health == DEFAULTS
    assert config.source("QUEUES.bulk.health") == "settings QUEUEOPS"


@pytest.mark.parametrize(
    "given",
    [
        5,
        {"depth": (1, 2)},
        {"waiting": 5},
        {"waiting": (1, 2, 3)},
        {"waiting": (1, True)},
        {"waiting": (2, 1)},
        {"waiting": (-1, 1)},
        {"waiting": (0, float("inf"))},
    ],
)
def test_thresholds_that_mean_nothing_are_refused(given: object) -> None:
    with pytest.raises(ValueError, match="degraded from"):
        thresholds(given)
    with pytest.raises(ConfigurationError, match='"health"'):
        load({"QUEUES": {"bulk": {"health": given}}}, None, {})
