"""Alerts: somebody is told when a queue or the broker is in trouble, once, and once when it is over.

Every worker and every web process may look; a lock in the broker leaves it to one of them at a time. What is
wrong is kept in the database, so that processes that cannot reach the broker agree that it has been told.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from queueops.conf import config
from queueops.engine.rules.alerts import AlertSettings
from queueops.engine.store import Store
from queueops.errors import BrokerUnavailable
from queueops.models import Alert, DeadLetter
from queueops.ops import alert_notices, broker, permissions
from queueops.ops.alert_notices import Notice
from queueops.ops.connections import released
from queueops.ops.health import Health, Level
from queueops.ops.permissions import Actor
from queueops.ops.status import Overview, status

__all__ = ["LOCK", "SECONDS", "Trouble", "chore", "listed", "look"]

logger = logging.getLogger("queueops.alerts")

#: How often it is looked, by one process of all.
SECONDS = 15.0
#: The name of that process's lock.
LOCK = "alerts"

#: A notice is being told for at most so long; it is told again when nobody has said by then that it was. With
#: several at once the last one waits for the receivers of all: longer than mail and webhook take for a dozen.
TELLING = timedelta(minutes=5)

_ACTOR = Actor.system("alerts")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong now. It is told when it has been so for `minutes`."""

    kind: str
    queue: str
    text: str
    minutes: float


def listed(actor: Actor) -> list[Alert]:
    """What is wrong at this moment as the alerts see it, the longest first; `told_at` says if it was told.

    Raises:
        PermissionDenied: the actor may not see operations.
    """
    actor.require(permissions.VIEW_OPERATIONS)
    return list(Alert.objects.order_by("since", "key"))


def chore(store: Store) -> None:
    """Look, in a worker."""
    if config().alerts.are_on:
        with released():
            look()


def look(now: datetime | None = None) -> None:
    """Compare what is wrong with what was, and tell of the difference.

    Args:
        now: the time; tests travel with it.
    """
    settings, at = config().alerts, now or timezone.now()
    try:
        seen, served = status(_ACTOR), _served()
    except BrokerUnavailable as error:
        # How the queues do is unknown now: what was wrong with them stays as it was.
        _compare([Trouble("broker", "", f"The broker does not answer: {error}", settings.broker_minutes)], at)
        return
    _compare([*_troubles(seen, served, settings, at)], at, everything=True)


def _served() -> frozenset[str]:
    """Queues that a living worker serves. One that died stays registered until another one reaps it."""
    with broker.store() as store:
        alive = [one for one in store.workers(leases=False) if not one.lapsed]
    return frozenset(queue for one in alive for queue in one.queues)


def _troubles(
    seen: Overview, served: frozenset[str], settings: AlertSettings, at: datetime
) -> Iterator[Trouble]:
    for one in seen.queues:
        if one.health.level is Level.UNHEALTHY:
            text = f"The queue {one.queue} is unhealthy: {_reasons(one.health)}."
            yield Trouble("unhealthy", one.queue, text, settings.unhealthy_minutes)
        jobs = one.queued + one.scheduled
        if jobs and one.queue not in served:
            text = f"No live worker serves the queue {one.queue}, in which {jobs:,} jobs wait."
            yield Trouble("no_worker", one.queue, text, settings.no_worker_minutes)
    began = at - timedelta(minutes=settings.dead_letter_minutes)
    recent = DeadLetter.objects.filter(died_at__gte=began).values("queue").annotate(number=Count("pk"))
    for row in recent.filter(number__gte=settings.dead_letters).order_by("queue"):
        text = (
            f"{row['number']:,} jobs of the queue {row['queue']} died within "
            f"{settings.dead_letter_minutes:g} minutes."
        )
        yield Trouble("dead_letters", row["queue"], text, 0.0)


def _reasons(health: Health) -> str:
    return ", ".join(
        f"{signal.name} is {signal.value:,.2f}, over {signal.unhealthy_at:g}"
        for signal in health.signals
        if signal.level is Level.UNHEALTHY and signal.value is not None
    )


def _compare(troubles: list[Trouble], at: datetime, *, everything: bool = False) -> None:
    """Args: everything: what is not among the troubles is right."""
    known = {alert.key: alert for alert in Alert.objects.all()}
    for trouble in troubles:
        key = f"{trouble.kind}:{trouble.queue}"
        alert = known.pop(key, None) or _noted(key, trouble, at)
        if alert is not None:
            _wrong(alert, trouble, at)
    if everything:
        for alert in known.values():
            _right(alert, at)


def _noted(key: str, trouble: Trouble, at: datetime) -> Alert | None:
    try:
        with transaction.atomic():
            return Alert.objects.create(
                key=key, kind=trouble.kind, queue=trouble.queue, text=trouble.text, since=at
            )
    except IntegrityError:
        return None  # another process has just seen it


def _wrong(alert: Alert, trouble: Trouble, at: datetime) -> None:
    if alert.gone_since is not None and not _may_be_told(alert):
        # It was right for a while and nobody knows that it was not: the trouble begins anew.
        Alert.objects.filter(pk=alert.pk).update(gone_since=None, since=at, text=trouble.text)
        return
    Alert.objects.filter(pk=alert.pk).update(gone_since=None, text=trouble.text)
    if alert.told_at is not None or at - alert.since < timedelta(minutes=trouble.minutes):
        return
    mine = _taken(alert, at, told_at=None)
    if mine is not None:
        told = _tell("begin", alert, trouble.text, at)
        mine.update(told_at=at if told else None, telling_until=None)


def _right(alert: Alert, at: datetime) -> None:
    if alert.gone_since is None:
        Alert.objects.filter(pk=alert.pk).update(gone_since=at)
        alert.gone_since = at
    if at - alert.gone_since < timedelta(minutes=config().alerts.clear_minutes):
        return
    if not _may_be_told(alert):
        unseen = Alert.objects.filter(pk=alert.pk, told_at=None, telling_until=None)
        unseen.filter(gone_since=alert.gone_since).delete()
        return
    # The row goes when somebody was told, so that a failed notice is tried again at the next look.
    mine = _taken(alert, at, gone_since=alert.gone_since)
    if mine is not None:
        if _tell("end", alert, f"It is over. It was: {alert.text}", at):
            mine.delete()
        else:
            mine.update(telling_until=None)


def _may_be_told(alert: Alert) -> bool:
    """Whether anybody may know of it: a process that died while it told has left no word."""
    return alert.told_at is not None or alert.telling_until is not None


def _taken(alert: Alert, at: datetime, **still: datetime | None) -> QuerySet[Alert] | None:
    """Take the telling of an alert; `None` when somebody else is at it, or was.

    Two processes may look at once: while the broker is away, and while telling takes longer than a look. Who
    took it has it alone until `TELLING` is over; whoever dies meanwhile leaves it to the others.

    Args:
        alert: the row as it was read.
        at: now.
        still: values that it must still have.

    Returns:
        The row, for as long as this call's taking holds.
    """
    row, until = Alert.objects.filter(pk=alert.pk), at + TELLING
    free = Q(telling_until=None) | Q(telling_until__lte=at)
    return row.filter(telling_until=until) if row.filter(free, **still).update(telling_until=until) else None


def _tell(event: str, alert: Alert, text: str, at: datetime) -> bool:
    log = logger.warning if event == "begin" else logger.info
    log("%s %s %s: %s", event, alert.kind, alert.queue or "broker", text)
    return alert_notices.send(Notice(event, alert.kind, alert.queue, text, alert.since, at))
