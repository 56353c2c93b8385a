"""The verbs of whole queues: pause, resume, drain. The broker itself is the truth of a queue's pause."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from queueops.conf import config
from queueops.engine.store import Store
from queueops.errors import UnknownQueue
from queueops.ops import audit, broker, permissions
from queueops.ops.permissions import Actor

__all__ = ["Drained", "drain", "pause", "resume"]


def pause(actor: Actor, queue: str, *, until: datetime | None = None, reason: str = "") -> None:
    """Close a queue: what runs goes on, nothing starts.

    Args:
        until: when it opens by itself; None is until resumed.

    Raises:
        PermissionDenied: the actor may not pause queues.
        UnknownQueue: neither the settings nor the broker know the queue.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.PAUSE_QUEUE)
    with broker.store() as store:
        _check(store, queue)
        until_ms = round(until.timestamp() * 1000) if until else 0
        store.pause(queue, until_ms=until_ms, by=actor.name, reason=reason)
    told = {"until": until.isoformat() if until else None, "reason": reason}
    audit.record(actor, "pause", f"queue {queue}", {key: value for key, value in told.items() if value}, 1)


def resume(actor: Actor, queue: str) -> bool:
    """Open a queue; return whether it was paused. Raises what `pause` raises."""
    actor.require(permissions.PAUSE_QUEUE)
    with broker.store() as store:
        _check(store, queue)
        opened = store.resume(queue)
    audit.record(actor, "resume", f"queue {queue}", count=int(opened))
    return opened


@dataclass(frozen=True, slots=True)
class Drained:
    """`count` jobs were put off until `until`, or deleted (None). `finished`: nothing is left."""

    count: int
    until: datetime | None
    finished: bool


def drain(
    actor: Actor,
    queue: str,
    *,
    delay: timedelta | None = None,
    until: datetime | None = None,
    remove: bool = False,
    seconds: float | None = None,
    progress: Callable[[int], None] = lambda count: None,
) -> Drained:
    """Empty a queue: of what waits for its turn or for an earlier time. What runs goes on.

    It goes a thousand jobs a step and is not atomic: jobs that come meanwhile may be taken along or not. One
    that was stopped half-way has done half; the same call (with the same `until`) goes on.

    Args:
        delay, until: the jobs wait until then, each with its priority.
        remove: the jobs are deleted; they count as cancelled. Exactly one of the three is given.
        seconds: stop after this time at the end of a step.
        progress: called after each step with the number of jobs so far.

    Raises:
        PermissionDenied: the actor may not drain queues.
        UnknownQueue: neither the settings nor the broker know the queue.
        ValueError: not exactly one of `delay`, `until` and `remove`, or a time that is over.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.DRAIN_QUEUE)
    if sum(map(bool, (delay, until, remove))) != 1:
        raise ValueError("Say how to drain: by delay, until a time, or remove.")
    ends = time.monotonic() + seconds if seconds is not None else None
    total = 0
    with broker.store() as store:
        _check(store, queue)
        now = datetime.fromtimestamp(store.now_ms() / 1000, UTC)
        until = now + delay if delay is not None else until
        if until is not None and until <= now:
            raise ValueError(f"{until.isoformat()} is over.")
        told = {"remove": True} if until is None else {"until": until.isoformat()}
        entry = audit.record(actor, "drain", f"queue {queue}", told)
        for count in store.drain_steps(queue, round(until.timestamp() * 1000) if until else 0):
            audit.add(entry, count)
            total += count
            progress(total)
            if ends is not None and time.monotonic() > ends:
                return Drained(total, until, finished=False)
    return Drained(total, until, finished=True)


def _check(store: Store, queue: str) -> None:
    known = {*config().queues, *store.queues()}
    if queue not in known:
        raise UnknownQueue(queue, known)
