"""All there is to know of one org: its rows in the queues, what its limits leave it, and its dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.utils import timezone

from queueops.engine.types import QueueSnapshot
from queueops.models import DeadLetter, OrgLimit
from queueops.ops import broker, permissions
from queueops.ops.estimate import span
from queueops.ops.explaining import GATES
from queueops.ops.org_list import OrgRow, known_queues, rows_of
from queueops.ops.permissions import Actor
from queueops.ops.resolution import Resolved, resolve

__all__ = ["OrgStats", "Quota", "stats"]


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit of the org in a queue, and what is used of it.

    Attributes:
        name: max_in_flight (jobs), share (jobs in flight that its share of the slots comes to) or rpm (jobs
            that may start at once: its burst).
        limit: the number that `used` counts up to.
        used: jobs in flight, or jobs of the burst that were started and are not yet refilled.
        source: who says so.
    """

    queue: str
    name: str
    limit: int
    used: int
    source: str

    @property
    def left(self) -> int:
        """What it may still take; 0 when the gate is closed."""
        return max(0, self.limit - self.used)


@dataclass(frozen=True, slots=True)
class OrgStats:
    """One org.

    Attributes:
        rows: the org in each queue, those without jobs too.
        ready, scheduled, in_flight: its jobs in all queues.
        letters: its dead letters that nobody has decided about.
        limits: by queue, each limit with its source.
        quotas: the limits that it has, with what is used of them.
        why: by queue in which jobs of it are ready, what they wait for.
    """

    org: str
    rows: tuple[OrgRow, ...]
    ready: int
    scheduled: int
    in_flight: int
    letters: int
    limits: Mapping[str, Resolved]
    quotas: tuple[Quota, ...]
    why: Mapping[str, Sequence[str]]


def stats(actor: Actor, org: str) -> OrgStats:
    """Look at one org in all queues. An org that nobody has seen has nothing, and the default limits.

    Raises:
        PermissionDenied: the actor may not see operations.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.VIEW_OPERATIONS)
    with broker.store() as store:
        rows = rows_of(store, [(queue, org) for queue in known_queues(store, None)])
        snapshots = {row.queue: store.queue_snapshot(row.queue) for row in rows if row.ready}
    own, at = list(OrgLimit.objects.filter(org=org)), timezone.now()
    return OrgStats(
        org=org,
        rows=tuple(rows),
        ready=sum(row.ready for row in rows),
        scheduled=sum(row.scheduled for row in rows),
        in_flight=sum(row.in_flight for row in rows),
        letters=DeadLetter.objects.parked().filter(org=org).count(),
        limits={row.queue: resolve(row.queue, org, own, at) for row in rows},
        quotas=tuple(quota for row in rows for quota in _quotas(row)),
        why={row.queue: tuple(_why(row, snapshots[row.queue])) for row in rows if row.ready},
    )


def _quotas(row: OrgRow) -> Iterator[Quota]:
    cap, share, rate = row.limits["max_in_flight"], row.limits["share"], row.limits["rpm"]
    if cap.value is not None:
        yield Quota(row.queue, "max_in_flight", int(cap.value), row.in_flight, cap.source)
    if share.value is not None and row.share_cap is not None:
        yield Quota(row.queue, "share", row.share_cap, row.in_flight, share.source)
    if rate.value is not None and row.rate_left is not None:
        burst = int(row.limits["burst"].value or 1)
        yield Quota(row.queue, "rpm", burst, max(0, burst - row.rate_left), rate.source)


def _why(row: OrgRow, queue: QueueSnapshot) -> Iterator[str]:
    if queue.paused is not None:
        reason = f" ({queue.paused.reason})" if queue.paused.reason else ""
        yield f"{row.queue} is paused by {queue.paused.by or 'somebody'}{reason}"
    elif queue.gate is not None:
        yield f"queue_concurrency: {GATES[queue.gate]}"
    if row.gate is not None:
        reason = f" ({row.paused.reason})" if row.paused is not None and row.paused.reason else ""
        again = ""
        if row.closed_until is not None and row.gate == "org_rate":
            seconds = (row.closed_until - timezone.now()).total_seconds()
            again = f"; it opens in {span(max(0.0, seconds))}"
        yield f"{row.gate}: {GATES[row.gate]}{reason}{again}"
    if not queue.slots:
        yield f"no worker serves {row.queue}"
    elif queue.gate is None and row.gate is None:
        asking = max(queue.active_weight, row.weight)
        yield f"its turn: its weight is {row.weight:g} of {asking:g} that ask for slots"
