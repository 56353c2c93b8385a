"""The verbs of whole queues: pause, resume (one, or all), drain. The broker is the truth of their pauses."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from queueops.conf import config
from queueops.engine.store import Store
from queueops.errors import DrainRefused, UnknownQueue
from queueops.ops import audit, broker, permissions
from queueops.ops.pauses import milliseconds, ramp_end, told
from queueops.ops.permissions import Actor

__all__ = ["Drained", "drain", "pause", "pause_all", "resume", "resume_all"]


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
        store.pause(queue, until_ms=milliseconds(until), by=actor.name, reason=reason)
    audit.record(actor, "pause", f"queue {queue}", told(until=until, reason=reason), 1)


def resume(actor: Actor, queue: str, *, ramp: timedelta | None = None) -> bool:
    """Open a queue; return whether it was paused.

    Args:
        ramp: open gradually: its jobs in flight grow from one to what the queue may have over this time.

    Raises:
        LimitInvalid: the ramp is not above 0 and at most a day.
        PermissionDenied, UnknownQueue, BrokerUnavailable: as `pause`.
    """
    actor.require(permissions.PAUSE_QUEUE)
    until = ramp_end(ramp)
    with broker.store() as store:
        _check(store, queue)
        opened = store.resume(queue, ramp_until_ms=milliseconds(until))
    audit.record(actor, "resume", f"queue {queue}", told(ramp=ramp), int(opened))
    return opened


def pause_all(actor: Actor, *, until: datetime | None = None, reason: str = "") -> list[str]:
    """Close every queue that settings or broker know, one after the other; return their names.

    Raises:
        PermissionDenied: the actor may not pause queues.
        BrokerUnavailable: the broker does not answer; queues before that are closed.
    """
    actor.require(permissions.PAUSE_QUEUE)
    with broker.store() as store:
        found = sorted(_known(store))
        for queue in found:
            store.pause(queue, until_ms=milliseconds(until), by=actor.name, reason=reason)
    audit.record(actor, "pause", "all queues", told(until=until, reason=reason), len(found))
    return found


def resume_all(actor: Actor, *, ramp: timedelta | None = None) -> list[str]:
    """Open every queue that is paused, by whomever; return their names. Raises what `resume` raises."""
    actor.require(permissions.PAUSE_QUEUE)
    until = ramp_end(ramp)
    with broker.store() as store:
        opened = [
            queue for queue in sorted(_known(store)) if store.resume(queue, ramp_until_ms=milliseconds(until))
        ]
    audit.record(actor, "resume", "all queues", told(ramp=ramp), len(opened))
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
        DrainRefused: not exactly one of `delay`, `until` and `remove`, or a time that is over.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.DRAIN_QUEUE)
    if sum(map(bool, (delay, until, remove))) != 1:
        raise DrainRefused("Say how to drain: by delay, until a time, or remove.")
    ends = time.monotonic() + seconds if seconds is not None else None
    total = 0
    with broker.store() as store:
        _check(store, queue)
        now = datetime.fromtimestamp(store.now_ms() / 1000, UTC)
        until = now + delay if delay is not None else until
        if until is not None and until <= now:
            raise DrainRefused(f"{until.isoformat()} is over.")
        how = {"remove": True} if until is None else {"until": until.isoformat()}
        entry = audit.record(actor, "drain", f"queue {queue}", how)
        for count in store.drain_steps(queue, round(until.timestamp() * 1000) if until else 0):
            audit.add(entry, count)
            total += count
            progress(total)
            if ends is not None and time.monotonic() > ends:
                return Drained(total, until, finished=False)
    return Drained(total, until, finished=True)


def _known(store: Store) -> set[str]:
    return {*config().queues, *store.queues()}


def _check(store: Store, queue: str) -> None:
    known = _known(store)
    if queue not in known:
        raise UnknownQueue(queue, known)
