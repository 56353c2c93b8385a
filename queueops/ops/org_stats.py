"""All there is to know of one org: its rows in the queues, what its limits leave it, and its dead letters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils import timezone

from queueops.models import DeadLetter, OrgLimit
from queueops.ops import broker, permissions
from queueops.ops.org_list import OrgRow, known_queues, rows_of
from queueops.ops.permissions import Actor
from queueops.ops.resolution import Resolved, resolve

__all__ = ["OrgStats", "stats"]


@dataclass(frozen=True, slots=True)
class OrgStats:
    """One org.

    Attributes:
        rows: the org in each queue, those without jobs too.
        ready, scheduled, in_flight: its jobs in all queues.
        letters: its dead letters that nobody has decided about.
        limits: by queue, each limit with its source.
    """

    org: str
    rows: tuple[OrgRow, ...]
    ready: int
    scheduled: int
    in_flight: int
    letters: int
    limits: Mapping[str, Resolved]


def stats(actor: Actor, org: str) -> OrgStats:
    """Look at one org in all queues. An org that nobody has seen has nothing, and the default limits.

    Raises:
        PermissionDenied: the actor may not see operations.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.VIEW_OPERATIONS)
    with broker.store() as store:
        rows = rows_of(store, [(queue, org) for queue in known_queues(store, None)])
    own, at = list(OrgLimit.objects.filter(org=org)), timezone.now()
    return OrgStats(
        org=org,
        rows=tuple(rows),
        ready=sum(row.ready for row in rows),
        scheduled=sum(row.scheduled for row in rows),
        in_flight=sum(row.in_flight for row in rows),
        letters=DeadLetter.objects.parked().filter(org=org).count(),
        limits={row.queue: resolve(row.queue, org, own, at) for row in rows},
    )
