"""Turns what the scripts answer (flat lists of bytes) into :mod:`queueops.engine.types`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from queueops.engine.rules.envelope import unpack
from queueops.engine.rules.gates import unpack_limits
from queueops.engine.types import (
    Claim,
    DeadEntry,
    HeldJob,
    Leased,
    OrgSnapshot,
    Pause,
    QueueSnapshot,
    Renewal,
    Scale,
    WorkerInfo,
)
from queueops.errors import QueueFull, UnknownParent

#: Counters of a queue's hash that are shown as totals.
TOTALS = (
    "enqueued",
    "claimed",
    "succeeded",
    "dead",
    "retried",
    "cancelled",
    "lost",
    "adopted",
    "wait_ms",
    "run_ms",
    "existing",
)

LEASED_FIELDS = 8


def words(reply: list[bytes]) -> list[str]:
    """Return the words of a reply."""
    return [word.decode() for word in reply]


def enqueued(queue: str, reply: list[bytes]) -> list[str]:
    """Return the words of enqueue.lua; raises what refused the step."""
    answer = words(reply)
    if answer and answer[0] == "unknown":
        raise UnknownParent(answer[1])
    if answer and answer[0] == "full":
        _, depth, limit, org = answer
        raise QueueFull(queue, int(depth), int(limit), org)
    return answer


def renewal(reply: list[list[bytes]]) -> Renewal:
    """Return the answer of renew.lua."""
    lost, cancelled, spared = reply
    return Renewal(words(lost), words(cancelled), words(spared))


def texts(reply: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return a hash as text."""
    return {field.decode(): value.decode() for field, value in reply.items()}


def pause(text: str) -> Pause:
    """Return a pause from ``until_ms TAB by TAB reason``."""
    until_ms, by, reason = text.split("\t", 2)
    return Pause(int(until_ms), by, reason)


def claim(reply: list[Any]) -> Claim:
    """Return the answer of claim.lua."""
    jobs = [leased(reply, at) for at in range(2, len(reply), LEASED_FIELDS)]
    return Claim(jobs, reply[0] == b"more", reply[1])


def leased(reply: list[Any], at: int) -> Leased:
    """Return the job whose fields begin at ``at`` in the answer of claim.lua."""
    token, queue, tag, rank, deliveries, claimed, limited, job = reply[at : at + LEASED_FIELDS]
    head, message = unpack(job.decode("utf-8", "surrogateescape"))
    return Leased(
        token.decode(),
        queue.decode(),
        tag.decode(),
        head.org,
        head.resource,
        head.task,
        head.task_id,
        deliveries,
        rank,
        claimed,
        head.once,
        limited == b"limited",
        head.run_limit_ms,
        head.first_ms,
        head.attempt,
        message,
    )


def _fields(reply: list[bytes]) -> dict[str, str]:
    values = words(reply)
    return dict(zip(values[::2], values[1::2], strict=True))


def _whole(text: str) -> int | None:
    return int(float(text)) if text else None


def queue_snapshot(queue: str, reply: list[bytes]) -> QueueSnapshot:
    """Return the picture from snapshot.lua."""
    got = _fields(reply)
    return QueueSnapshot(
        queue=queue,
        now_ms=int(got["now_ms"]),
        ready=int(got["depth"]),
        scheduled=int(got.get("scheduled", 0)),
        leased=int(got.get("n", 0)),
        orgs_waiting=int(got.get("o", 0)),
        gate=got["gate"] or None,
        closed_until_ms=_whole(got["closed_until_ms"]),
        paused=pause(got["pause"]) if got["pause"] else None,
        concurrency=_whole(got["concurrency"]),
        slots=int(got.get("slots", 0)),
        oldest_rank_ms=_whole(got["oldest_rank_ms"]),
        virtual_time_ms=float(got.get("V", 0)),
        active_weight=float(got.get("W", 0)),
        oldest_ready_ms=_whole(got["oldest_ready_ms"]),
        blocked=int(got["blocked"]),
        totals={name: int(float(got.get(name, 0))) for name in TOTALS},
    )


def org_snapshot(queue: str, org: str, reply: list[bytes], now_ms: bytes = b"") -> OrgSnapshot:
    """Return the picture from snapshot.lua, or from orgs.lua, which tells the time but once."""
    got = _fields(reply)
    return OrgSnapshot(
        queue=queue,
        org=org,
        now_ms=int(now_ms or got["now_ms"]),
        ready=int(got["ready"]),
        scheduled=int(got["scheduled"]),
        in_flight=int(got["in_flight"]),
        gate=got["gate"] or None,
        closed_until_ms=_whole(got["closed_until_ms"]),
        paused=pause(got["pause"]) if got["pause"] else None,
        rate_left=_whole(got.get("rate_left", "")),
        share_cap=_whole(got["share_cap"]),
        weight=float(got["weight"]),
        virtual_time_ms=float(got["virtual_time_ms"]),
        limits=unpack_limits(got["limits"])[0] if got["limits"] else None,
        oldest_ready_ms=_whole(got["oldest_ready_ms"]),
    )


def worker(holder: str, info: Mapping[str, Any], expires_ms: int, leases: int, now_ms: int) -> WorkerInfo:
    """Return a worker from its registration."""
    return WorkerInfo(
        holder,
        info["hostname"],
        info["pid"],
        list(info["queues"]),
        info["slots"],
        info["version"],
        info["started_ms"],
        expires_ms,
        leases,
        info.get("node", ""),
        info.get("pool", ""),
        info.get("size", info["slots"]),
        expires_ms - info["lease_ms"] if "lease_ms" in info else 0,
        info.get("memory_bytes"),
        info.get("processed", 0),
        info.get("quiet", False),
        info.get("stopping", False),
        tuple(info["bounds"]) if info.get("bounds") else None,
        expires_ms <= now_ms,
    )


def held_job(line: bytes) -> HeldJob:
    """Return a lease from its record, whose layout is that of lib/record.lua."""
    queue, _tag, org, resource, task, task_id, *rest = line.decode().split("\t", 11)
    claimed_ms = rest[4]  # after the times waited, charged and counted, and the rank
    return HeldJob(task_id, task, queue, org, resource, int(float(claimed_ms)))


def scale(queue: str, line: bytes) -> Scale:
    """Return a number of slots from ``count TAB until_ms TAB at_ms TAB by TAB reason``."""
    count, until_ms, at_ms, by, reason = line.decode().split("\t", 4)
    return Scale(queue, int(count), int(until_ms), int(at_ms), by, reason)


def dead_entry(entry: tuple[bytes, Mapping[bytes, bytes]]) -> DeadEntry:
    """Return one entry of the dead stream. The job's text may be no message at all: it is kept as it is, with
    bytes that are no UTF-8 as escapes, which the way back makes bytes again.
    """
    got = {field.decode(): value.decode("utf-8", "surrogateescape") for field, value in entry[1].items()}
    try:
        head, message = unpack(got["job"])
        org, resource, task, task_id = head.org, head.resource, head.task, head.task_id
        first_ms, attempt = head.first_ms, head.attempt
    except ValueError:
        org = resource = task = task_id = ""
        first_ms = attempt = 0
        message = got["job"]
    return DeadEntry(
        entry[0].decode(),
        got["token"],
        got["queue"],
        got["tag"],
        org,
        resource,
        task,
        task_id,
        first_ms,
        attempt,
        int(got["deliveries"]),
        int(got["died_ms"]),
        json.loads(got["detail"] or "{}"),
        message,
    )
