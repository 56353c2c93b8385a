"""The orgs of the queues: what each has waiting and running, what holds it, and what it may take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import nsmallest
from math import inf
from typing import Literal

from django.utils import timezone

from queueops.conf import config
from queueops.engine.places import Asked
from queueops.engine.store import Store
from queueops.engine.types import OrgSnapshot, Pause
from queueops.errors import UnknownQueue
from queueops.models import OrgLimit
from queueops.ops import broker, fairness_level, permissions
from queueops.ops.keeping import Keeper
from queueops.ops.permissions import Actor
from queueops.ops.resolution import Resolved, Sourced, resolve

__all__ = ["Order", "OrgRow", "listed", "rows_of"]

#: With more orgs than this in a queue their order is kept for a while: counting them takes a while, too.
MANY = 1_000
_walks: Keeper[Mapping[str, float]] = Keeper(lambda orgs: len(orgs) > MANY)

#: What a list of orgs may begin with: most ready jobs, most run time, longest wait, or A to Z.
Order = Literal["waiting", "share", "wait", "name"]
_ASKED: Mapping[Order, Asked] = {"waiting": "jobs", "share": "names", "wait": "first", "name": "names"}
#: Rows that one call returns at most.
LONGEST = 1_000


@dataclass(frozen=True, slots=True)
class OrgRow:
    """One org in one queue.

    Attributes:
        ready, scheduled, in_flight: its jobs.
        gate: which of its own gates is closed now; None when all are open. What closes its resources, or the
            whole queue, is not among them.
        closed_until: when that gate opens, or is looked at again.
        paused: who paused it, until when (ms, 0 is until resumed) and why.
        rate_left: jobs that it could start now; None without a rate.
        weight: its share of the queue relative to other orgs.
        share_of_run_time: of the run time of the queue's last 2,000 attempts, 0 to 1; None when none ended.
        oldest_wait_seconds: of the first jobs of its lanes; None when none is ready.
        share_cap: jobs in flight that its share of the slots comes to; None without a share.
        limits: by name, each with its value (None is unlimited) and who says so.
        limits_until: when the first of them ends by itself.
    """

    org: str
    queue: str
    ready: int
    scheduled: int
    in_flight: int
    gate: str | None
    closed_until: datetime | None
    paused: Pause | None
    rate_left: int | None
    weight: float
    share_of_run_time: float | None
    oldest_wait_seconds: float | None
    share_cap: int | None
    limits: Mapping[str, Sourced]
    limits_until: datetime | None


def listed(
    actor: Actor, queue: str | None = None, *, order: Order = "waiting", limit: int = 100, search: str = ""
) -> list[OrgRow]:
    """Return the orgs that have jobs or are paused, a row for each queue they have them in.

    All orgs of a queue are counted (20,000 at most of each ring), and only those of the page looked at; the
    wait that they are ordered by is that of the lowest rank. In a queue of more than 1,000 orgs the order may
    be some seconds old; what each row says is of now.

    Args:
        queue: only this one; None is all.
        order: what the list begins with; orgs that are equal in it come by name.
        limit: rows, 1,000 at most.
        search: part of the org's name, in any case. Orgs with limits of their own are then found without
            jobs, too.

    Raises:
        PermissionDenied: the actor may not see operations.
        UnknownQueue: neither the settings nor the broker know the queue.
        ValueError: no such order.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.VIEW_OPERATIONS)
    if order not in _ASKED:
        raise ValueError(f"{order!r} is no order; there are waiting, share, wait and name.")
    with broker.store() as store:
        names = known_queues(store, queue)
        shares = {name: _shares(store, name) for name in names}
        found = _all(store, names, _ASKED[order], search.lower())

        def place(key: tuple[str, str]) -> tuple[float, str, str]:
            of, org = key
            first = {"waiting": -found[key], "wait": found[key], "share": -shares[of].get(org, 0.0)}
            return first.get(order, 0.0), org, of

        return rows_of(store, nsmallest(max(1, min(limit, LONGEST)), found, place), shares)


def known_queues(store: Store, queue: str | None) -> list[str]:
    """All queues, or the one that is asked for. Raises UnknownQueue."""
    known = sorted({*config().queues, *store.queues()})
    if queue is not None and queue not in known:
        raise UnknownQueue(queue, known)
    return known if queue is None else [queue]


def rows_of(
    store: Store,
    wanted: Sequence[tuple[str, str]],
    shares: Mapping[str, Mapping[str, float]] | None = None,
) -> list[OrgRow]:
    """Return the rows of these orgs, given as (queue, org), in their order.

    Args:
        shares: parts of run time by queue and org, where they are known already.
    """
    queues = list(dict.fromkeys(queue for queue, _ in wanted))
    given = shares if shares is not None else {name: _shares(store, name) for name in queues}
    pictures = {
        (queue, one.org): one
        for queue in queues
        for one in store.org_snapshots(queue, [org for of, org in wanted if of == queue])
    }
    limits = list(OrgLimit.objects.filter(org__in={org for _, org in wanted}))
    at = timezone.now()
    return [
        _row(pictures[queue, org], given[queue], resolve(queue, org, _own(limits, org), at))
        for queue, org in wanted
    ]


def _own(rows: Iterable[OrgLimit], org: str) -> list[OrgLimit]:
    return [row for row in rows if row.org == org]


def _row(picture: OrgSnapshot, shares: Mapping[str, float], resolved: Resolved) -> OrgRow:
    oldest = picture.oldest_ready_ms
    return OrgRow(
        org=picture.org,
        queue=picture.queue,
        ready=picture.ready,
        scheduled=picture.scheduled,
        in_flight=picture.in_flight,
        gate=picture.gate,
        closed_until=_at(picture.closed_until_ms),
        paused=picture.paused,
        rate_left=picture.rate_left,
        weight=picture.weight,
        share_of_run_time=shares.get(picture.org, 0.0) if shares else None,
        oldest_wait_seconds=None if oldest is None else max(0, picture.now_ms - oldest) / 1000,
        share_cap=picture.share_cap,
        limits=resolved.fields,
        limits_until=resolved.until,
    )


def _all(store: Store, queues: Sequence[str], asked: Asked, search: str) -> dict[tuple[str, str], float]:
    """The orgs by queue and name, with what was asked for of each."""
    none = inf if asked == "first" else 0.0
    found: dict[tuple[str, str], float] = {}
    for queue in queues:
        found |= {(queue, org): number for org, number in _walked(store, queue, asked).items()}
        for org in store.paused(queue):
            if org:
                found.setdefault((queue, org), none)
    for queue, org in store.in_flight():
        if queue in queues:
            found.setdefault((queue, org), none)
    if not search:
        return found
    limited = OrgLimit.objects.filter(org__icontains=search).values_list("org", "queue")[:LONGEST]
    for org, of in limited:
        for queue in [of] if of else queues:
            if queue in queues:
                found.setdefault((queue, org), none)
    return {key: number for key, number in found.items() if search in key[1].lower()}


def _walked(store: Store, queue: str, asked: Asked) -> Mapping[str, float]:
    server = store.client.connection_pool.connection_kwargs
    about = (server.get("host"), server.get("port"), server.get("db"), store.prefix, queue, asked)
    return _walks.get(about, lambda: store.orgs(queue, asked)[0])


def _shares(store: Store, queue: str) -> dict[str, float]:
    """The orgs' parts of the run time of the latest attempts; empty when none has run."""
    return fairness_level.shares(store.attempts(queue, fairness_level.ATTEMPTS))


def _at(ms: int | None) -> datetime | None:
    return datetime.fromtimestamp(ms / 1000, UTC) if ms else None
