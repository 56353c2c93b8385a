"""From rows to the broker: publishes limits and pauses of orgs, finds where the two differ, and mends it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from django.db.models import QuerySet
from django.utils import timezone

from queueops.conf import config
from queueops.engine.rules.gates import Limits, pack_limits, unpack_limits
from queueops.engine.store import Store
from queueops.errors import BrokerUnavailable, ConfigurationError
from queueops.middleware.chain import chain
from queueops.middleware.fairness import Fairness
from queueops.middleware.rate_limit import RateLimit
from queueops.models import OrgLimit
from queueops.ops import audit, broker
from queueops.ops.permissions import Actor
from queueops.ops.resolution import resolve

__all__ = [
    "Difference",
    "Held",
    "Wanted",
    "differences",
    "expire",
    "known_queues",
    "publish",
    "publish_soon",
    "reconcile",
    "wanted",
]

logger = logging.getLogger("queueops.limits")


@dataclass(frozen=True, slots=True)
class Held:
    """What the broker holds for an org in a queue; `paused_until` as in `Wanted`."""

    limits: Limits | None
    paused_until: int | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the broker should hold for an org in a queue.

    Attributes:
        limits: None where no row speaks of the org: the queue's default holds.
        then: what follows when `limits` end.
        paused_until: None: open; 0: closed until resumed; else ms since 1970.
    """

    limits: Limits | None = None
    then: Limits | None = None
    paused_until: int | None = None
    pause_note: str = ""

    def is_met(self, held: Held) -> bool:
        """Whether the broker holds just this."""
        # The broker keeps a rate as an interval, so it is compared as it would come back from there.
        limits = None if self.limits is None else unpack_limits(pack_limits(self.limits))[0]
        return limits == held.limits and self.paused_until == held.paused_until


@dataclass(frozen=True, slots=True)
class Difference:
    """An org in a queue for which the broker holds something else than the rows say."""

    queue: str
    org: str
    wanted: Wanted
    held: Held


def known_queues(store: Store, rows: Iterable[OrgLimit] = ()) -> list[str]:
    """Queues of the settings, of the broker and of the rows."""
    return sorted({*config().queues, *store.queues(), *(row.queue for row in rows if row.queue)})


def publish(store: Store, orgs: Collection[str]) -> int:
    """Publish what the rows say of these orgs, in every queue; return how many entries changed."""
    rows = list(OrgLimit.objects.filter(org__in=orgs))
    found = 0
    for queue in known_queues(store, rows):
        asked = dict.fromkeys(orgs, Wanted()) | wanted(queue, rows, timezone.now())
        found += _apply(store, [one for one in differences(store, queue, asked) if one.org in orgs])
    return found


def reconcile(store: Store) -> int:
    """Make the broker hold what settings and rows say, of every org; return how many entries were mended.

    They are the truth: what the broker has lost is written again, an org without a row has no own limits.
    """
    mended = sum(one.publish(store) for one in chain().members if isinstance(one, Fairness | RateLimit))
    rows = list(OrgLimit.objects.all())
    for queue in known_queues(store, rows):
        found = differences(store, queue, wanted(queue, rows, timezone.now()))
        mended += _apply(store, found)
    if mended:
        logger.info("Mended the limits of orgs in the broker", extra={"count": mended})
    return mended


def wanted(queue: str, rows: Iterable[OrgLimit], at: datetime) -> dict[str, Wanted]:
    """What the rows say of each org in the queue at the moment `at`; orgs without a row are not in it."""
    found: dict[str, Wanted] = {}
    for org, own in groupby(sorted(rows, key=lambda row: row.org), key=lambda row: row.org):
        mine = list(own)
        now = resolve(queue, org, mine, at)
        if now.rows:
            # The engine itself goes over to `then`, to the millisecond, though no worker or database is up.
            later = resolve(queue, org, mine, now.until + timedelta(milliseconds=1)) if now.until else None
            found[org] = Wanted(
                now.limits(), later.limits() if later else None, now.paused_until, now.pause_note
            )
    return found


def differences(store: Store, queue: str, asked: Mapping[str, Wanted]) -> list[Difference]:
    """Where the broker holds something else for an org of this queue than what is asked for."""
    limits, pauses = store.read_limits(queue), store.paused(queue)
    found = []
    for org in sorted({*asked, *limits, *pauses} - {""}):
        held = Held(limits.get(org), pauses[org].until_ms if org in pauses else None)
        want = asked.get(org, Wanted())
        if not want.is_met(held):
            found.append(Difference(queue, org, want, held))
    return found


def _apply(store: Store, found: Sequence[Difference]) -> int:
    for one in found:
        want = one.wanted
        store.set_limits(one.queue, {one.org: want.limits}, {one.org: want.then} if want.then else None)
        if want.paused_until is None and one.held.paused_until is not None:
            store.resume(one.queue, one.org)
        elif want.paused_until is not None and want.paused_until != one.held.paused_until:
            store.pause(
                one.queue, one.org, until_ms=want.paused_until, by="org limit", reason=want.pause_note
            )
    return len(found)


def publish_soon(orgs: Collection[str]) -> None:
    """Publish in this process, if the broker is there; if not, the chore of the workers does it later."""
    try:
        with broker.store() as store:
            publish(store, orgs)
    except (BrokerUnavailable, ConfigurationError) as error:
        logger.warning("The limits of %s are saved and not yet published: %s", ", ".join(sorted(orgs)), error)


def expire(store: Store) -> int:
    """Delete temporary rows whose time is over and publish what holds now; return how many rows."""
    over: QuerySet[OrgLimit] = OrgLimit.objects.filter(valid_until__lte=timezone.now())
    ended = list(over)
    if not ended:
        return 0
    actor = Actor.system()
    for row in ended:
        # Each by its own, still over: somebody may have prolonged it since.
        count, _ = over.filter(pk=row.pk).delete()
        if count:
            audit.record(actor, "expire_limit", str(row), {"note": row.note}, count)
    publish(store, {row.org for row in ended})
    return len(ended)
