"""Routes of the whole: recover, cleanup, doctor, audit log, settings, events."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ninja import Query, Schema
from pydantic import Field

from queueops.api import sse
from queueops.api.auth import Request
from queueops.api.fields import INTEGRAL, Body, Flag, NameFilter, TextFilter
from queueops.api.pages import Cursor, Limit, number, sliced
from queueops.api.routes import ADMIN, Routes
from queueops.api.shapes import Told, many, page, row, shape
from queueops.models import Alert, AuditEntry
from queueops.ops import alerts, audit_log, cleanup, configuration, doctor, leases

routes = Routes("system")

#: So long one request works; the answer says whether to ask again.
_WORK_SECONDS = 20.0
#: So long a request waits for workers to renew before it ends leases in a broker without a pulse.
_RECOVER_SECONDS = 5.0

shape(doctor.Finding, leave_out=["mend"], add=["mendable"])
Report = shape(doctor.Report, add=["healthy"])


Days = Annotated[int, Field(strict=True, ge=cleanup.SHORTEST_DAYS, le=cleanup.LONGEST_DAYS), INTEGRAL]


class Cleanup(Body):
    """How old rows must be that are deleted (null is the retention of each table), or only counted."""

    days: (
        Annotated[int, Field(strict=True, ge=cleanup.SHORTEST_DAYS, le=cleanup.LONGEST_DAYS), INTEGRAL] | None
    ) = None
    dry_run: Flag = False


class Check(Schema):
    """What a system check says: its id, how bad it is (10 debug to 50 critical), and what to do."""

    id: str | None
    level: int
    message: str
    hint: str | None


class Thorough(Body):
    """Whether every job is looked at."""

    thorough: Flag = False


@routes.post("recover", Told)
def recover(request: Request) -> Any:
    """End expired leases now; their jobs run again, or become dead letters."""
    done = leases.recover(request.auth.actor, seconds=_RECOVER_SECONDS)
    jobs = "1 job" if done.count == 1 else f"{done.count:,} jobs"
    more = " More leases have expired; their workers still have time to renew." if done.waiting else ""
    return Told(message=f"Recovered {jobs}.{more}", count=done.count)


@routes.post("cleanup", Told, ADMIN)
def clean_up(request: Request, body: Cleanup) -> Any:
    """Delete results, closed letters and audit entries that are past their retention."""
    done = cleanup.cleanup(request.auth.actor, body.days, seconds=_WORK_SECONDS, dry_run=body.dry_run)
    told = ", ".join(f"{count:,} {name}" for name, count in done.by_table.items()) or "nothing"
    if body.dry_run:
        more = " and more" if done.more else ""
        return Told(message=f"It would delete {told}{more}. Nothing was done.", count=done.count)
    more = " There is more: ask again." if done.more else ""
    return Told(message=f"Deleted {told}.{more}", count=done.count)


@routes.get("doctor", Report)
def examine(request: Request, thorough: bool = False) -> Any:
    """Compare all that is kept twice; change nothing."""
    return doctor.examine(request.auth.actor, thorough=thorough)


@routes.post("doctor/repair", shape(doctor.Repair), ADMIN)
def repair(request: Request, body: Thorough) -> Any:
    """Mend what the doctor can mend, and look again."""
    return doctor.repair(request.auth.actor, thorough=body.thorough)


@routes.get("audit", page(row(AuditEntry)))
def audit(
    request: Request,
    verb: TextFilter = "",
    who: TextFilter = "",
    target: TextFilter = "",
    surface: Annotated[str, Query(pattern=r"^[a-z]*$", max_length=16)] = "",
    cursor: Cursor = "",
    limit: Limit = 100,
) -> Any:
    """List who did what, newest first; `target` is a part of what it was done to."""
    found = audit_log.listed(
        request.auth.actor,
        verb=verb,
        who=who,
        target=target,
        surface=surface,
        before=number(cursor),
        limit=limit,
    )
    return {"items": found, "next": str(found[-1].pk) if len(found) == limit else None}


@routes.get("alerts", page(row(Alert)))
def alerted(request: Request, cursor: Cursor = "", limit: Limit = 100) -> Any:
    """List what is wrong now as the alerts see it, the longest first."""
    found = alerts.listed(request.auth.actor)
    return sliced(lambda most: found[:most], cursor, limit)


@routes.get("configuration", page(shape(configuration.Setting)))
def settings(request: Request, cursor: Cursor = "", limit: Limit = 1000) -> Any:
    """Tell every setting, its value with secrets masked, and who says so."""
    found = configuration.shown(request.auth.actor)
    return sliced(lambda most: found[:most], cursor, limit)


@routes.get("check", many(Check))
def check(request: Request) -> Any:
    """Run the system checks of queueops, the worst first."""
    return [
        Check(id=one.id, level=one.level, message=str(one.msg), hint=str(one.hint) if one.hint else None)
        for one in configuration.check(request.auth.actor)
    ]


@routes.get(
    "events",
    None,
    openapi_extra={"responses": {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}},
)
def events(
    request: Request,
    queue: NameFilter = "",
    org: NameFilter = "",
    task_id: TextFilter = "",
    last_id: Annotated[str, Query(pattern=r"^[0-9-]*$", max_length=40)] = "",
    only: Literal["", "jobs", "snapshots"] = "",
) -> Any:
    """Follow what happens, as server-sent events; `Last-Event-ID` goes on after a dropped connection."""
    return sse.stream(request, request.auth.actor)
