"""Panic mode: a resource's breaker is open, by itself or by hand. The broker is the truth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.utils import timezone

from queueops.engine.resource_verbs import ResourceSnapshot
from queueops.engine.store import Store
from queueops.errors import LimitInvalid
from queueops.models import AuditEntry
from queueops.ops import audit, broker, permissions
from queueops.ops.pauses import milliseconds, told
from queueops.ops.permissions import Actor
from queueops.ops.resources import named

__all__ = ["Held", "Status", "at", "dry_run", "history", "off", "on", "status", "watch"]

#: Orgs that a dry run counts for each queue; the rest is in the queue's sum.
ORGS = 20


@dataclass(frozen=True, slots=True)
class Status:
    """Whether a resource is in panic mode, since when, why, and when next.

    Attributes:
        state: "closed" (its jobs run), "open" (they are held), "half_open" (only probes run).
        by_hand: whether a person opened it.
        since: of the state; None where nothing ever happened.
        next_at: when it half-opens; None where it is closed, or open until ended by hand.
        opens: how often in a row the breaker has opened by itself.
        good, bad: calls in its window.
        probes_out: probes that run now.
        held: jobs that wait, by queue.
    """

    resource: str
    state: str
    by_hand: bool
    since: datetime | None
    reason: str
    by: str
    next_at: datetime | None
    opens: int
    good: float
    bad: float
    probes_out: int
    held: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """What panic mode would hold now: jobs in all, by queue, and by queue for the orgs that come first.

    Counted are ready jobs of orgs that no gate of their own holds, of each queue those of 500 orgs at most.
    """

    resource: str
    jobs: int
    queues: dict[str, int]
    orgs: dict[str, dict[str, int]]
    in_flight: int


def status(resources: Iterable[str] | None = None) -> list[Status]:
    """The panic mode of these resources; None: of all that are not closed.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    with broker.store() as store:
        names = store.alarmed() if resources is None else [named(name) for name in resources]
        found = [status_of(store.resource_snapshot(name)) for name in names]
    return [one for one in found if one.state != "closed"] if resources is None else found


def status_of(snapshot: ResourceSnapshot) -> Status:
    """The panic mode in a live picture."""
    until = snapshot.until_ms if snapshot.breaker == "open" else 0
    return Status(
        resource=snapshot.resource,
        state=snapshot.breaker,
        by_hand=snapshot.forced,
        since=at(snapshot.since_ms),
        reason=snapshot.reason,
        by=snapshot.by,
        next_at=at(until),
        opens=snapshot.opens,
        good=snapshot.good,
        bad=snapshot.bad,
        probes_out=snapshot.probes_out,
        held=dict(snapshot.waiting),
    )


def on(actor: Actor, resource: str, *, until: datetime | None = None, reason: str = "") -> Status:
    """Put a resource into panic mode: its jobs are held where they are, none burns an attempt.

    Args:
        until: when it half-opens by itself and lets probes through; None is until ended by hand.

    Raises:
        PermissionDenied: the actor may not panic.
        InvalidResource: no resource can have this name.
        LimitInvalid: the time has passed.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.PANIC)
    if until is not None and until <= timezone.now():
        raise LimitInvalid("This time has passed.")
    with broker.store() as store:
        store.panic(named(resource), until_ms=milliseconds(until), by=actor.name, reason=reason)
        found = status_of(store.resource_snapshot(resource))
    held = sum(found.held.values())
    audit.record(actor, "panic", f"resource {resource}", told(until=until, reason=reason), held)
    return found


def off(actor: Actor, resource: str) -> bool:
    """End the panic mode of a resource; its jobs go on at once. Returns whether it was in it.

    Raises what `on` raises.
    """
    actor.require(permissions.PANIC)
    with broker.store() as store:
        ended = store.panic_off(named(resource))
    audit.record(actor, "panic_off", f"resource {resource}", count=int(ended))
    return ended


def dry_run(actor: Actor, resource: str) -> Held:
    """What `on` would hold now; nothing is changed. Raises what `on` raises."""
    actor.require(permissions.PANIC)
    with broker.store() as store:
        snapshot = store.resource_snapshot(named(resource))
        waiting = {queue: count for queue, count in snapshot.waiting.items() if count}
        orgs = {queue: store.resource_orgs(queue, resource, limit=ORGS) for queue in waiting}
    return Held(resource, sum(waiting.values()), waiting, orgs, snapshot.in_flight)


def history(resource: str, limit: int = 50) -> list[AuditEntry]:
    """The latest panics of a resource and their ends, newest first: by whom, when, why."""
    entries = AuditEntry.objects.filter(verb__in=("panic", "panic_off"), target=f"resource {resource}")
    return list(entries.order_by("-at", "-id")[:limit])


def watch(store: Store) -> int:
    """Note breakers that have opened by themselves in the audit log; return how many are new."""
    found = 0
    for name in store.alarmed():
        seen = store.resource_snapshot(name)
        since = at(seen.since_ms)
        if seen.breaker != "open" or seen.forced or since is None:
            continue
        target = f"resource {name}"
        opening = {"since": since.isoformat(), "reason": seen.reason, "opens": seen.opens}
        known = AuditEntry.objects.filter(verb="panic", target=target, at__gte=since)
        if not any(entry.parameters.get("since") == opening["since"] for entry in known):
            audit.record(Actor.system("breaker"), "panic", target, opening, sum(seen.waiting.values()))
            found += 1
    return found


def at(milliseconds: int | None) -> datetime | None:
    """The moment that many ms after 1970; None for 0."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
