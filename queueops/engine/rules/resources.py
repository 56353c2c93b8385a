"""How the limits of a resource are written: QUEUEOPS["RESOURCES"], flat fields, and the engine's own form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from queueops.engine.rules import values
from queueops.engine.rules.gates import Breaker, ResourceLimits, rate
from queueops.errors import LimitInvalid

__all__ = ["BREAKER_FIELDS", "FIELDS", "limits_of", "pack_resource", "resource_settings", "unpack_resource"]

#: The fields of a breaker, in the order in which people read them.
BREAKER_FIELDS = tuple(field.name for field in fields(Breaker))
#: All fields of a resource. `rate` is jobs a minute; `breaker` is whether it has one.
FIELDS = ("rate", "burst", "max_in_flight", "breaker", *BREAKER_FIELDS)


def limits_of(given: Mapping[str, Any]) -> ResourceLimits:
    """Return the engine's limits for flat fields; what is missing or None is no limit, or the default.

    Raises:
        LimitInvalid: a value is not allowed; the message says why.
    """
    per_minute, burst, cap = given.get("rate"), given.get("burst"), given.get("max_in_flight")
    # Made also where it is off: what it says must be right before somebody puts it on.
    breaker = Breaker(**{name: given[name] for name in BREAKER_FIELDS if given.get(name) is not None})
    return ResourceLimits(
        per_minute=per_minute,
        # A burst alone says nothing: the rate it belongs to was lifted by whoever stands above it.
        burst=None if per_minute is None else burst,
        max_in_flight=cap,
        breaker=breaker if given.get("breaker") else None,
    )


def pack_resource(limits: ResourceLimits) -> str:
    """Return the wire form ``interval_us burst cap;share calls window_ms open_ms longest_ms probes``."""

    def text(*numbers: float | int | None) -> str:
        return " ".join("-" if number is None else f"{number:.17g}" for number in numbers)

    interval = None if limits.per_minute is None else 60_000_000 / limits.per_minute
    burst = None if limits.per_minute is None else limits.burst or 1
    packed = text(interval, burst, limits.max_in_flight)
    breaker = limits.breaker
    if breaker is None:
        return f"{packed};-"
    window, opened, longest = (
        round(seconds * 1000)
        for seconds in (breaker.window_seconds, breaker.open_seconds, breaker.longest_open_seconds)
    )
    share, calls, probes = breaker.failure_share, breaker.min_calls, breaker.probes
    return f"{packed};{text(share, calls, window, opened, longest, probes)}"


def unpack_resource(packed: str) -> ResourceLimits:
    """Return the limits, the reverse of :func:`pack_resource`."""
    first, _, rest = packed.partition(";")
    interval, burst, cap = first.split(" ")
    breaker = None
    if rest != "-":
        share, calls, window, opened, longest, probes = rest.split(" ")
        breaker = Breaker(
            float(share), int(calls), int(window) / 1000, int(opened) / 1000, int(longest) / 1000, int(probes)
        )
    return ResourceLimits(
        per_minute=None if interval == "-" else round(60_000_000 / float(interval), 6),
        burst=None if burst == "-" else int(burst),
        max_in_flight=None if cap == "-" else int(cap),
        breaker=breaker,
    )


def resource_settings(given: Any, sources: dict[str, str]) -> Mapping[str, Mapping[str, Any]]:
    """Return QUEUEOPS["RESOURCES"] as flat fields by name, checked.

    Raises:
        ConfigurationError: an unknown key, or a value that is not allowed.
    """
    found: dict[str, Mapping[str, Any]] = {}
    values.parsed('QUEUEOPS["RESOURCES"]', values.mapping, given)
    for name, entry in given.items():
        where = f'QUEUEOPS["RESOURCES"]["{name}"]'
        values.parsed(where, values.name, name)
        values.refuse_unknown(entry, tuple(_KEYS), where + '["{}"]')
        flat: dict[str, Any] = {}
        for key, value in entry.items():
            if value is not None:
                flat |= values.parsed(f'{where}["{key}"]', _KEYS[key], value)
        values.parsed(where, _accepted, flat)
        sources.update((f"RESOURCES.{name}.{key}", "settings QUEUEOPS") for key in flat)
        found[name] = MappingProxyType(flat)
    return MappingProxyType(found)


def _rate(value: Any) -> dict[str, Any]:
    try:
        return {"rate": rate(value)}
    except LimitInvalid as refused:
        raise ValueError(str(refused).removeprefix("rate must be ")) from refused


def _breaker(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"breaker": value}
    given = values.mapping(value)
    unknown = sorted(set(given) - set(BREAKER_FIELDS))
    if unknown:
        raise ValueError(f"True, False or a dict with keys of {', '.join(BREAKER_FIELDS)}")
    return {"breaker": True, **given}


def _accepted(flat: Mapping[str, Any]) -> None:
    try:
        limits_of({"rate": 60.0, **flat})
    except (LimitInvalid, TypeError) as refused:
        raise ValueError(f"limits that the broker takes ({refused})") from refused


_KEYS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "rate": _rate,
    "burst": lambda value: {"burst": values.whole(1)(value)},
    "max_in_flight": lambda value: {"max_in_flight": values.whole(0)(value)},
    "breaker": _breaker,
}
