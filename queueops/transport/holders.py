"""The holders of this process: one for each broker that it consumes from."""

from __future__ import annotations

import os
import threading

from queueops.transport.holder import Holder

__all__ = ["holder_for", "holders", "retire"]

_holders: dict[str, Holder] = {}
_guard = threading.Lock()


def holder_for(broker: str) -> Holder:
    """Return this process's holder for the broker named ``broker``."""
    with _guard:
        return _holders.setdefault(broker, Holder())


def holders() -> list[Holder]:
    """Return the holders of this process."""
    return list(_holders.values())


def retire(holder: Holder) -> None:
    """Forget a holder whose worker has left; the next worker of this process gets a fresh one."""
    with _guard:
        for broker in [broker for broker, known in _holders.items() if known is holder]:
            del _holders[broker]


def _after_fork_in_child() -> None:
    # The parent's leases are the parent's: a pool child never renews or settles them.
    global _guard
    _guard = threading.Lock()
    _holders.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
