"""Routes of resources: what holds, limits, pauses, panic mode."""

from __future__ import annotations

from typing import Any

from pydantic import create_model

from queueops.api.auth import Request
from queueops.api.fields import Body, Flag, NameFilter, NamePath, Number, Reason, Text, Whole
from queueops.api.pages import Cursor, Limit, sliced
from queueops.api.queues import Closing
from queueops.api.routes import ADMIN, Routes
from queueops.api.shapes import Told, many, page, row, shape
from queueops.models import AuditEntry, Resource
from queueops.ops import panic, permissions, resource_limits, resources

routes = Routes("resources")

_KINDS = {"CharField": Text | Flag | Number, "IntegerField": Whole, "FloatField": Number}

shape(resource_limits.Resolved, name="ResolvedResource")
Live = shape(resources.LiveResource)
Status = shape(panic.Status, name="PanicStatus")

ResourceLimits = create_model(
    "SetResourceLimits",
    __base__=Body,
    __doc__="The limits that change; null inherits again, -1 is no limit. `rate` is text as 10/s.",
    note=(Reason, ""),
    **{  # type: ignore[call-overload]
        field: (_KINDS[Resource._meta.get_field(field).get_internal_type()] | None, None)
        for field in Resource.FIELDS
    },
)


@routes.get("resources", page(Live))
def listed(request: Request, search: NameFilter = "", cursor: Cursor = "", limit: Limit = 100) -> Any:
    """List resources with their limits and what holds now; those in panic mode first."""
    actor = request.auth.actor
    return sliced(lambda most: resources.listed(actor, search=search, limit=most), cursor, limit)


@routes.get("resources/{name}", Live)
def shown(request: Request, name: NamePath) -> Any:
    """Tell the limits of a resource, where they come from, and what holds now."""
    [found] = resources.listed(request.auth.actor, [name])
    return found


@routes.post("resources/{name}/set-limit", row(Resource), ADMIN)
def set_limit(request: Request, name: NamePath, body: ResourceLimits) -> Any:  # type: ignore[valid-type]
    """Change the given limits of a resource and leave its others."""
    values = body.dict(exclude_unset=True)  # type: ignore[attr-defined]
    note = values.pop("note", "")
    return resources.set_limit(request.auth.actor, name, values, note=note)


@routes.post("resources/{name}/reset-limit", Told, ADMIN)
def reset_limit(request: Request, name: NamePath) -> Any:
    """Give a resource its default limits again."""
    count = resources.reset_limit(request.auth.actor, name)
    return Told(message=f"Resource {name} has its default limits.", count=count)


@routes.post("resources/{name}/pause", Told)
def pause(request: Request, name: NamePath, body: Closing) -> Any:
    """Close a resource in every queue."""
    resources.pause(request.auth.actor, name, until=body.until, reason=body.reason)
    return Told(message=f"Resource {name} is paused.", count=1)


@routes.post("resources/{name}/resume", Told)
def resume(request: Request, name: NamePath) -> Any:
    """Open a resource."""
    opened = resources.resume(request.auth.actor, name)
    return Told(message=f"Resource {name} {'is open' if opened else 'was open'}.", count=int(opened))


@routes.get("panic", page(Status), permission=permissions.VIEW_OPERATIONS)
def panics(request: Request, cursor: Cursor = "", limit: Limit = 100) -> Any:
    """List the resources in panic mode: since when, why, what they hold, when they are tried again."""
    found = panic.status()
    return sliced(lambda most: found[:most], cursor, limit)


@routes.get("resources/{name}/panic", Status, permission=permissions.VIEW_OPERATIONS)
def panic_status(request: Request, name: NamePath) -> Any:
    """Tell whether a resource is in panic mode."""
    [found] = panic.status([name])
    return found


@routes.get("resources/{name}/panic/dry-run", shape(panic.Held, name="PanicHeld"))
def panic_dry_run(request: Request, name: NamePath) -> Any:
    """Tell what panic mode would hold now; nothing is changed."""
    return panic.dry_run(request.auth.actor, name)


@routes.get(
    "resources/{name}/panic/history",
    many(row(AuditEntry)),
    permission=permissions.VIEW_AUDIT,
)
def panic_history(request: Request, name: NamePath, limit: Limit = 50) -> Any:
    """List the latest panics of a resource and their ends, newest first."""
    return panic.history(name, limit)


@routes.post("resources/{name}/panic/on", Status)
def panic_on(request: Request, name: NamePath, body: Closing) -> Any:
    """Put a resource into panic mode: its jobs are held where they are."""
    return panic.on(request.auth.actor, name, until=body.until, reason=body.reason)


@routes.post("resources/{name}/panic/off", Told)
def panic_off(request: Request, name: NamePath) -> Any:
    """End the panic mode of a resource."""
    ended = panic.off(request.auth.actor, name)
    told = "is over" if ended else "was over"
    return Told(message=f"Panic mode of {name} {told}.", count=int(ended))
