"""Limits of resources: how they are written, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest

from queueops.conf import load
from queueops.engine.rules.gates import Breaker, ResourceLimits, rate
from queueops.engine.rules.resources import limits_of
from queueops.errors import ConfigurationError, LimitInvalid


@pytest.mark.parametrize(
    ("given", "per_minute"),
    [("10/s", 600), ("5/m", 5), ("5 / min", 5), ("90/h", 1.5), ("1440/d", 1), ("7", 7), (7, 7), (0.5, 0.5)],
)
def test_a_rate_is_jobs_a_minute(given: Any, per_minute: float) -> None:
    assert rate(given) == pytest.approx(per_minute)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("often", "10/s, 5/m, 100/h, 1000/d"),
        ("10/w", "10/s, 5/m"),
        ("", "10/s, 5/m"),
        (None, "10/s, 5/m"),
        ("0/s", "to stop a resource, pause it"),
        ("-1", "above 0"),
        ("nan", "above 0"),
        ("200000/s", "at most 6,000,000"),
    ],
)
def test_what_is_no_rate_is_refused(given: Any, reason: str) -> None:
    with pytest.raises(LimitInvalid, match=reason):
        rate(given)


@pytest.mark.parametrize(
    ("kind", "values", "reason"),
    [
        (Breaker, {"failure_share": 0}, "failure share must be between"),
        (Breaker, {"failure_share": 1.1}, "failure share must be between"),
        (Breaker, {"failure_share": float("nan")}, "failure share must be between"),
        (Breaker, {"min_calls": 0}, "min calls must be between 1"),
        (Breaker, {"window_seconds": 0}, "window must be between"),
        (Breaker, {"open_seconds": 0}, "open must be between"),
        (Breaker, {"open_seconds": 1000}, "longest open must be at least open"),
        (Breaker, {"probes": 0}, "probes must be between 1"),
        (ResourceLimits, {"burst": 5}, "burst needs a rate"),
        (ResourceLimits, {"per_minute": 5, "burst": 0}, "burst must be between 1"),
        (ResourceLimits, {"max_in_flight": -1}, "max in flight must be between 0"),
    ],
)
def test_limits_that_cannot_be_are_refused_with_the_reason(
    kind: Any, values: dict[str, Any], reason: str
) -> None:
    with pytest.raises(LimitInvalid, match=reason):
        kind(**values)


def test_flat_fields_become_the_engines_limits() -> None:
    assert limits_of({}) == ResourceLimits()
    assert limits_of({"burst": 5, "probes": 2}) == ResourceLimits(), "neither says anything alone"
    given = {"rate": 60.0, "burst": 5, "max_in_flight": 2, "breaker": True, "probes": 1, "min_calls": None}
    assert limits_of(given) == ResourceLimits(60.0, 5, 2, Breaker(probes=1))


def test_the_settings_name_resources() -> None:
    given = {
        "whatsapp": {"rate": "10/s", "burst": 20, "max_in_flight": 5, "breaker": {"probes": 1}},
        "stripe": {"breaker": True, "rate": None},
        "afip": {},
    }
    config = load({"RESOURCES": given}, None, {})
    assert {name: dict(fields) for name, fields in config.resources.items()} == {
        "whatsapp": {"rate": 600.0, "burst": 20, "max_in_flight": 5, "breaker": True, "probes": 1},
        "stripe": {"breaker": True},
        "afip": {},
    }
    assert config.source("RESOURCES.whatsapp.rate") == "settings QUEUEOPS"
    assert load({}, None, {}).resources == {}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([1], r'QUEUEOPS\["RESOURCES"\] must be a dict'),
        ({"no spaces": {}}, "must be a name"),
        ({"a": 5}, "must be a dict"),
        ({"a": {"rates": 5}}, "nearest one is 'rate'"),
        ({"a": {"rate": "often"}}, r'\["a"\]\["rate"\] must be as 10/s'),
        ({"a": {"max_in_flight": -1}}, "whole number of at least 0"),
        ({"a": {"breaker": {"probe": 1}}}, "keys of failure_share"),
        ({"a": {"breaker": {"probes": 0}}}, "probes must be between 1"),
        ({"a": {"breaker": {"probes": "many"}}}, "limits that the broker takes"),
        ({"a": {"breaker": 1}}, "must be a dict"),
    ],
)
def test_settings_that_cannot_be_are_refused(given: Any, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        load({"RESOURCES": given}, None, {})
