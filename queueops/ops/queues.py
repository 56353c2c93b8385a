"""The verbs of whole queues: pause, resume. The broker itself is the truth of a queue's pause."""

from __future__ import annotations

from datetime import datetime

from queueops.conf import config
from queueops.engine.store import Store
from queueops.errors import UnknownQueue
from queueops.ops import audit, broker, permissions
from queueops.ops.permissions import Actor

__all__ = ["pause", "resume"]


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


def _check(store: Store, queue: str) -> None:
    known = {*config().queues, *store.queues()}
    if queue not in known:
        raise UnknownQueue(queue, known)
