"""From rows to the broker: which limits of a resource hold and who says so, publishing, and drift.

Each field resolves by itself: the row, the settings, what an app has registered, a task's `rate_limit`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass

from celery import current_app

from queueops.engine.rules.gates import ResourceLimits
from queueops.engine.rules.resources import FIELDS, limits_of
from queueops.engine.store import Store
from queueops.errors import BrokerUnavailable, ConfigurationError, LimitInvalid
from queueops.middleware import resources
from queueops.middleware.task_rates import TASK_PREFIX, task_resource
from queueops.models import Resource
from queueops.ops import broker
from queueops.ops.connections import released
from queueops.ops.resolution import Sourced

__all__ = [
    "Difference",
    "Resolved",
    "differences",
    "publish",
    "publish_soon",
    "reconcile",
    "resolve",
    "same",
    "wanted",
]

logger = logging.getLogger("queueops.limits")


@dataclass(frozen=True, slots=True)
class Resolved:
    """The limits of one resource: each field that somebody speaks of, with its source."""

    name: str
    fields: Mapping[str, Sourced]

    def limits(self) -> ResourceLimits:
        """What the broker is told. Raises LimitInvalid where the fields do not fit together."""
        return limits_of({name: field.value for name, field in self.fields.items()})


@dataclass(frozen=True, slots=True)
class Difference:
    """A resource for which the broker holds something else than rows and settings say; None is nothing."""

    name: str
    wanted: ResourceLimits | None
    held: ResourceLimits | None


def resolve(names: Collection[str] | None = None) -> dict[str, Resolved]:
    """The limits of these resources, or of all that anything speaks of."""
    declared = resources.declared(names)
    rows = Resource.objects.all() if names is None else Resource.objects.filter(name__in=names)
    by_name = {row.name: row for row in rows}
    wanted = sorted({*declared, *by_name}) if names is None else names
    return {name: _resolved(name, by_name.get(name), declared.get(name, {})) for name in wanted}


def with_row(row: Resource) -> Resolved:
    """The limits of the row's resource as they will be when the row is saved. Raises LimitInvalid."""
    return _resolved(row.name, row, resources.declared([row.name]).get(row.name, {}))


def _resolved(name: str, row: Resource | None, declared: resources.Declared) -> Resolved:
    said = row.says() if row is not None else {}
    fields: dict[str, Sourced] = {}
    for field in FIELDS:
        if field in said:
            fields[field] = Sourced(said[field], "row")
        elif field in declared:
            fields[field] = Sourced(*declared[field])
    return Resolved(name, fields)


def wanted(names: Collection[str] | None = None) -> dict[str, ResourceLimits]:
    """What the broker should hold; limits that do not fit together are logged, and left as they are."""
    found: dict[str, ResourceLimits] = {}
    with released():
        for name, one in resolve(names).items():
            try:
                found[name] = one.limits()
            except LimitInvalid as refused:
                logger.warning("The limits of resource %s are not published: %s", name, refused)
    return found


def same(one: ResourceLimits | None, other: ResourceLimits | None) -> bool:
    """Whether both say the same; the broker keeps a rate as an interval, which is rounded."""
    flat, held = (_flat(limits or ResourceLimits()) for limits in (one, other))
    return len(flat) == len(held) and all(
        a == b or (a is not None and b is not None and math.isclose(a, b, rel_tol=1e-6))
        for a, b in zip(flat, held, strict=True)
    )


def _flat(limits: ResourceLimits) -> tuple[float | None, ...]:
    # Without an own burst a rate has a burst of 1, which is what the broker tells.
    burst = limits.burst or 1 if limits.per_minute is not None else None
    breaker = astuple(limits.breaker) if limits.breaker else ()
    return (limits.per_minute, burst, limits.max_in_flight, *breaker)


def differences(store: Store, names: Collection[str] | None = None) -> list[Difference]:
    """Where the broker holds something else for these resources, or for any, than it should."""
    held, want = store.read_resources(), wanted(names)
    known = {task_resource(name) for name in current_app.tasks}
    found = []
    for name in sorted({*want, *held} if names is None else names):
        if name not in want and name.startswith(TASK_PREFIX) and name not in known:
            continue  # the rate of a task that another worker has, and this one has not
        if not same(want.get(name), held.get(name)):
            found.append(Difference(name, want.get(name), held.get(name)))
    return found


def publish(store: Store, names: Collection[str]) -> int:
    """Publish the limits of these resources; return how many changed."""
    return _apply(store, differences(store, names))


def reconcile(store: Store) -> int:
    """Make the broker hold the limits of every resource, and none beyond; return how many were mended."""
    mended = _apply(store, differences(store))
    if mended:
        logger.info("Mended the limits of resources in the broker", extra={"count": mended})
    return mended


def _apply(store: Store, found: Collection[Difference]) -> int:
    if found:
        nothing = ResourceLimits()
        store.set_resources({one.name: None if one.wanted == nothing else one.wanted for one in found})
    return len(found)


def publish_soon(names: Collection[str]) -> None:
    """Publish in this process, if the broker is there; if not, the chore of the workers does it later."""
    try:
        with broker.store() as store:
            publish(store, names)
    except (BrokerUnavailable, ConfigurationError) as error:
        told = ", ".join(sorted(names))
        logger.warning("The limits of resources %s are saved and not yet published: %s", told, error)
