"""What the store says of single jobs, and how it is read from the scripts' answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from queueops.engine.rules.envelope import Head, unpack


@dataclass(frozen=True, slots=True)
class GateState:
    """One gate that a job has to pass.

    ``name``: the gate's word. ``subject``: whose gate it is: ``queue``, ``org``, ``resource``, ``task`` or
    ``all``. ``until_ms``: when a closed one opens; 0 = when a slot is freed, or a person opens it.
    ``used`` of ``limit``: jobs in flight, or of a rate the jobs of its burst that were started. ``by`` and
    ``reason``: who closed a pause.
    """

    name: str
    subject: str
    closed: bool
    until_ms: int = 0
    used: int | None = None
    limit: int | None = None
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LeaseState:
    """Who holds a job. ``expires_ms``: when the lease lapses unless it is renewed; 0 = its process is not
    listed.
    """

    token: str
    holder: str
    claimed_ms: int
    deliveries: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate that a job has to pass: jobs that could start now, and the time from one to the next."""

    gate: str
    left: int
    interval_us: float


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """Where a job is, and what decides when it runs.

    ``state``: ``ready``, ``scheduled``, ``blocked``, ``leased``, or ``astray``: it has a text and no place,
    which doctor mends. ``at_ms``: its rank when ready or leased, when it is due otherwise. ``place``: jobs
    before it in its lane of ``lane_size``; ``before_elsewhere``: jobs of its org's other lanes that rank
    before it. ``ring_place``: orgs before its own in the ring of ``ring_size``, ``None`` while a gate keeps
    the org out; ``closed_by`` is that gate, looked at again at ``looked_at_ms``. ``cap``: jobs its org may
    have in flight. ``own_weight``: the org's part of ``active_weight``, 0 while it is not active.
    ``resource_cap``: jobs of its resource that may be in flight, of all orgs and queues together.
    ``mean_ms``: mean run time of the jobs before it, ``None`` while nobody knows. ``blocked_on``: task ids
    of jobs it waits for, the first hundred of ``parents``; ``held``: a person keeps it.
    """

    task_id: str
    now_ms: int
    state: str
    queue: str
    tag: str
    head: Head
    message: str
    at_ms: int
    lease: LeaseState | None
    gates: tuple[GateState, ...]
    closed_by: str
    looked_at_ms: int | None
    place: int | None
    lane_size: int | None
    before_elsewhere: int
    ring_place: int | None
    ring_size: int | None
    in_flight: int
    cap: int | None
    slots: int
    concurrency: int | None
    weight: float
    own_weight: float
    active_weight: float
    mean_ms: float | None
    rates: tuple[Rate, ...] = ()
    resource_cap: int | None = None
    blocked_on: tuple[str, ...] = ()
    parents: int = 0
    held: bool = False

    @property
    def overdue_ms(self) -> int:
        """How long its deadline has passed, 0 if it has not or if it has none."""
        return max(0, self.now_ms - self.head.deadline_ms) if self.head.deadline_ms else 0


def job_snapshot(task_id: str, reply: Sequence[bytes]) -> JobSnapshot | None:
    """Return the picture from explain.lua; ``None`` when no job of that id waits or runs."""
    if not reply:
        return None
    values = [value.decode() for value in reply]
    pairs = list(zip(values[::2], values[1::2], strict=True))
    got = dict(pairs)
    head, message = unpack(got["job"])

    def whole(field: str) -> int | None:
        return int(float(got[field])) if got.get(field) else None

    def fraction(field: str) -> float | None:
        return float(got[field]) if got.get(field) else None

    parents = [value for field, value in pairs if field == "parent"]
    lease = None
    if "token" in got:
        lease = LeaseState(
            token=got["token"],
            holder=got["holder"],
            claimed_ms=whole("claimed_ms") or 0,
            deliveries=whole("lease_deliveries") or 0,
            expires_ms=whole("expires_ms") or 0,
        )
    return JobSnapshot(
        task_id=task_id,
        now_ms=whole("now_ms") or 0,
        state=got["state"],
        queue=got["queue"],
        tag=got["tag"],
        head=head,
        message=message,
        at_ms=whole("at_ms") or 0,
        lease=lease,
        gates=tuple(gate(value) for field, value in pairs if field == "gate"),
        closed_by=got["closed_by"],
        looked_at_ms=whole("looked_at_ms"),
        place=whole("place"),
        lane_size=whole("lane_size"),
        before_elsewhere=whole("before_elsewhere") or 0,
        ring_place=whole("ring_place"),
        ring_size=whole("ring_size"),
        in_flight=whole("in_flight") or 0,
        cap=whole("cap"),
        slots=whole("slots") or 0,
        concurrency=whole("concurrency"),
        weight=fraction("weight") or 1.0,
        own_weight=fraction("own_weight") or 0.0,
        active_weight=fraction("active_weight") or 0.0,
        mean_ms=fraction("mean_ms"),
        rates=tuple(
            Rate(name, whole(f"{name}_left") or 0, fraction(f"{name}_interval_us") or 0.0)
            for name in ("org_rate", "resource_rate")
            if f"{name}_interval_us" in got
        ),
        resource_cap=whole("resource_cap"),
        # A hold stands among the parents as "!" and the rank that the job had.
        blocked_on=tuple(sorted(one for one in parents if not one.startswith("!"))),
        parents=(whole("parents") or 0) - len([one for one in parents if one.startswith("!")]),
        held=any(one.startswith("!") for one in parents),
    )


def gate(text: str) -> GateState:
    """Return a gate from ``name TAB subject TAB closed TAB until TAB used TAB limit TAB by TAB reason``."""
    name, subject, closed, until, used, limit, by, reason, *_ = (*text.split("\t", 7), "", "")

    def whole(value: str) -> int | None:
        return int(float(value)) if value else None

    return GateState(name, subject, closed == "1", whole(until) or 0, whole(used), whole(limit), by, reason)


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job in a list. ``at_ms``: its rank when ready, when it is due, or since when it is leased."""

    task_id: str
    queue: str
    state: str
    org: str
    resource: str
    task: str
    attempt: int
    deliveries: int
    deadline_ms: int
    at_ms: int
    first_ms: int
    holder: str = ""
    run_limit_ms: int = 0

    def overdue_ms(self, now_ms: int) -> int:
        """How long its deadline has passed at ``now_ms``."""
        return max(0, now_ms - self.deadline_ms) if self.deadline_ms else 0


def job_rows(reply: Sequence[Any]) -> list[JobRow]:
    """Return the rows of list.lua, five fields each: task id, queue, state, time, holder, head line."""
    rows = []
    for start in range(0, len(reply), 6):
        task_id, queue, state, at, holder, line = (value.decode() for value in reply[start : start + 6])
        head, _ = unpack(line)
        rows.append(
            JobRow(
                task_id=task_id,
                queue=queue,
                state=state,
                org=head.org,
                resource=head.resource,
                task=head.task,
                attempt=head.attempt,
                deliveries=head.deliveries,
                deadline_ms=head.deadline_ms,
                at_ms=int(float(at or 0)),
                first_ms=head.first_ms,
                holder=holder,
                run_limit_ms=head.run_limit_ms,
            )
        )
    return rows
