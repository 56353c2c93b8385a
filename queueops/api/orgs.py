"""Routes of orgs: what they have and may take, limits, pauses, off-boarding."""

from __future__ import annotations

from typing import Any

from pydantic import create_model

from queueops.api.auth import Request
from queueops.api.fields import Body, Flag, Moment, Name, NameFilter, NamePath, Number, Reason, Text, Whole
from queueops.api.pages import Cursor, Limit, sliced
from queueops.api.queues import Closing
from queueops.api.routes import ADMIN, Routes
from queueops.api.shapes import Told, page, row, shape
from queueops.models import OrgLimit
from queueops.ops import forgetting, limits, orgs
from queueops.ops.org_list import Order

routes = Routes("orgs")

#: So long one request works.
_WORK_SECONDS = 20.0

_KINDS = {"IntegerField": Whole, "FloatField": Number}

OrgLimits = create_model(
    "SetOrgLimits",
    __base__=Body,
    __doc__="The limits that change; null inherits again, -1 is no limit.",
    queue=(Name | None, None),
    valid_until=(Moment | None, None),
    note=(Reason, ""),
    **{  # type: ignore[call-overload]
        field: (_KINDS[OrgLimit._meta.get_field(field).get_internal_type()] | None, None)
        for field in OrgLimit.FIELDS
    },
)
Limits = row(OrgLimit)


class InQueue(Body):
    """In one queue, or (null) in each."""

    queue: Name | None = None


class OrgClosing(InQueue, Closing):
    """A pause of an org."""


class Reset(InQueue):
    """Which rows of the org go, its pauses too: of one queue, or (null) all, those for all queues too."""


class Throttle(Body):
    """A lower cap for a time."""

    queue: Name
    max_in_flight: Whole
    until: Moment
    note: Reason = ""


class Forget(Body):
    """Whether it is only counted what would be done, and where an earlier request has stopped."""

    dry_run: Flag = False
    after: Text = ""


@routes.get("orgs", page(shape(orgs.OrgRow)))
def listed(
    request: Request,
    queue: NameFilter = "",
    order: Order = "waiting",
    search: NameFilter = "",
    cursor: Cursor = "",
    limit: Limit = 100,
) -> Any:
    """List orgs that have jobs or are paused, a row for each queue; 1,000 rows at most."""
    actor = request.auth.actor
    return sliced(
        lambda most: orgs.listed(actor, queue or None, order=order, limit=most, search=search), cursor, limit
    )


@routes.get("orgs/{org}", shape(orgs.OrgStats))
def stats(request: Request, org: NamePath) -> Any:
    """Tell what an org has in each queue, what holds it, and its limits with their sources."""
    return orgs.stats(request.auth.actor, org)


@routes.post("orgs/{org}/set-limit", Limits, ADMIN)
def set_limit(request: Request, org: NamePath, body: OrgLimits) -> Any:  # type: ignore[valid-type]
    """Change the given limits of an org, in one queue or in each, for good or until `valid_until`."""
    values = body.dict(exclude_unset=True)  # type: ignore[attr-defined]
    queue, until, note = (values.pop(name, None) for name in ("queue", "valid_until", "note"))
    return limits.set_limit(request.auth.actor, org, queue or "", values, valid_until=until, note=note or "")


@routes.post("orgs/{org}/reset-limit", Told, ADMIN)
def reset_limit(request: Request, org: NamePath, body: Reset) -> Any:
    """Give an org its default limits again, in one queue or in all."""
    count = limits.reset_limit(request.auth.actor, org, body.queue)
    return Told(message=f"Org {org} has its default limits in {body.queue or 'all queues'}.", count=count)


@routes.post("orgs/{org}/throttle", Limits, ADMIN)
def throttle(request: Request, org: NamePath, body: Throttle) -> Any:
    """Lower the cap of an org for a time."""
    return limits.throttle(request.auth.actor, org, body.queue, body.max_in_flight, body.until, body.note)


@routes.post("orgs/{org}/pause", Limits)
def pause(request: Request, org: NamePath, body: OrgClosing) -> Any:
    """Close an org, in one queue or in each."""
    return orgs.pause(request.auth.actor, org, body.queue or "", until=body.until, reason=body.reason)


@routes.post("orgs/{org}/resume", Told)
def resume(request: Request, org: NamePath, body: InQueue) -> Any:
    """Open an org: what was paused for one queue, or what was paused for each."""
    count = orgs.resume(request.auth.actor, org, body.queue or "")
    told = "is open" if count else "was open"
    return Told(message=f"Org {org} {told} in {body.queue or 'all queues'}.", count=count)


@routes.post("orgs/{org}/forget", shape(forgetting.Forgotten, add=["count"]), ADMIN)
def forget(request: Request, org: NamePath, body: Forget) -> Any:
    """Off-board an org: cancel its jobs, purge its letters, remove its limits, mask its name.

    Works for 20 seconds; `after` of the answer goes on, empty is the end.
    """
    return forgetting.forget(
        request.auth.actor, org, dry_run=body.dry_run, seconds=_WORK_SECONDS, after=body.after
    )
