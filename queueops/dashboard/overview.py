"""All queues at a glance, and what is done to all of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django import forms
from django.http import HttpRequest

from queueops.conf import config
from queueops.dashboard.actions import GoOn, Unchanged, action
from queueops.dashboard.drawing import points
from queueops.dashboard.fields import HowLong, Nothing, ending, told_until
from queueops.dashboard.page import Page, page
from queueops.ops import alerts, leases, permissions, queues, stats, status
from queueops.ops import cleanup as cleaning
from queueops.ops.permissions import Actor

__all__ = ["overview"]

#: Seconds that a request cleans up; the answer has a button that goes on.
PIECE_SECONDS = 8.0


def _overview(request: HttpRequest, actor: Actor) -> Page:
    found = status.status(actor)
    series = {queue: points(line) for queue, line in stats.throughput_by_queue().items()}
    context = {
        "overview": found,
        "total": found.total,
        "rows": [(one, series.get(one.queue, {"succeeded": []})) for one in found.queues],
        "series": series[""],
        "links": config().links,
        "alerts": alerts.listed(actor),
        "now": {"at": found.at.timestamp(), "waiting": found.total.queued, "running": found.total.running},
    }
    return Page("overview.html", "Queues", context, "overview")


overview = page(_overview)


class Ramp(forms.Form):
    """How gradually something opens."""

    ramp = forms.TypedChoiceField(
        label="Ramp",
        required=False,
        coerce=int,
        empty_value=None,
        choices=(("", "at once"), ("5", "over 5 minutes"), ("15", "over 15 minutes"), ("60", "over an hour")),
        help_text="Jobs in flight grow from one to what the queue may have.",
    )


def ramp_of(data: Mapping[str, Any]) -> timedelta | None:
    """The ramp that was asked for; None is at once."""
    return timedelta(minutes=data["ramp"]) if data.get("ramp") else None


@action(
    "Pause all",
    permissions.PAUSE_QUEUE,
    HowLong,
    explained="Closes every queue: what runs goes on, nothing starts, no job is lost.",
    danger=True,
)
def pause_all(actor: Actor, data: Mapping[str, Any]) -> str:
    """Every queue is closed."""
    until = ending(data)
    closed = queues.pause_all(actor, until=until, reason=data["reason"])
    return f"{len(closed)} queues are paused {told_until(until)}."


@action(
    "Resume all", permissions.PAUSE_QUEUE, Ramp, explained="Opens every queue that is paused, by whomever."
)
def resume_all(actor: Actor, data: Mapping[str, Any]) -> str:
    """Every queue is open."""
    opened = queues.resume_all(actor, ramp=ramp_of(data))
    return f"Resumed: {', '.join(opened)}." if opened else Unchanged("No queue was paused.")


@action(
    "Recover leases",
    permissions.RECOVER,
    Nothing,
    explained="Ends leases that have expired and gives their jobs back. Workers do this each second; it is "
    "for a broker without any, and then takes up to half a minute.",
)
def recover(actor: Actor, data: Mapping[str, Any]) -> str:
    """Expired leases are ended."""
    done = leases.recover(actor)
    left = " Some have expired whose workers still have time to renew." if done.waiting else ""
    told = f"{done.count:,} lease{'' if done.count == 1 else 's'} ended.{left}"
    return told if done.count else Unchanged(f"No lease had expired.{left}")


class Age(forms.Form):
    """How old what is deleted must be."""

    days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=365,
        label="Older than (days)",
        help_text="Empty: by their own retentions. Audit entries keep theirs.",
    )


@action(
    "Clean up",
    permissions.CLEANUP,
    Age,
    explained="Deletes results, closed dead letters and audit entries that are past their retention. Parked "
    "letters stay.",
    danger=True,
)
def cleanup(actor: Actor, data: Mapping[str, Any]) -> str:
    """Old rows are deleted."""
    done = cleaning.cleanup(actor, days=data["days"], seconds=PIECE_SECONDS)
    if done.more:
        return GoOn(f"{done.count:,} rows deleted. More are left.")
    return (
        f"{done.count:,} rows deleted." if done.count else Unchanged("Nothing was old enough to be deleted.")
    )
