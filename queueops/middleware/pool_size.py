"""How many jobs a worker's pool runs at once, changed while it runs.

Every function here runs in the worker's own loop (remote control, `consumer.call_soon`): pools are not made
for other threads.
"""

from __future__ import annotations

from typing import Any

from celery.concurrency.asynpool import AsynPool
from celery.utils.log import get_logger

from queueops.transport.holder import Holder

__all__ = ["can_change", "change", "pool_name", "renew_children", "size"]

logger = get_logger(__name__)

#: Modules of Celery's pools whose name differs from that of `--pool`.
_NAMES = {"thread": "threads"}


def pool_name(pool: Any) -> str:
    """The pool's name as `celery worker --pool` takes it; of a foreign one the path of its class."""
    cls = type(pool)
    package, _, module = cls.__module__.rpartition(".")
    return (
        _NAMES.get(module, module) if package == "celery.concurrency" else f"{cls.__module__}:{cls.__name__}"
    )


def size(pool: Any) -> int:
    """Jobs that the pool runs at once."""
    return max(1, int(pool.num_processes or 1))


def can_change(pool: Any) -> bool:
    """Whether the pool can run more or fewer jobs at once than it was started for."""
    return isinstance(getattr(pool, "_pool", None), AsynPool) or pool_name(pool) in _CHANGES


def change(consumer: Any, holder: Holder, slots: int) -> int:
    """Have the worker run `slots` jobs at once, at least 1; return how many it runs now.

    What runs is never cut short: a job that is one too many ends, and its slot with it.
    """
    pool = consumer.pool
    if not can_change(pool):
        return size(pool)
    wanted, before = max(1, slots), size(pool)
    # First: from here on no job is handed over for which there will be no slot.
    holder.slots = consumer.initial_prefetch_count = wanted
    if consumer.qos is not None:
        consumer.qos.value = wanted
    if wanted != before or not is_settled(pool):
        _CHANGES.get(pool_name(pool), _change_prefork)(pool, wanted, consumer.hub)
    if wanted != before:
        logger.info("The pool runs %d jobs at once, it ran %d", wanted, before)
    holder.exact = pool_name(pool) == "threads" and len(pool.executor._threads) > wanted
    return size(pool)


def is_settled(pool: Any) -> bool:
    """Whether the pool has as many children as its size says, without those that end after their job."""
    inner = getattr(pool, "_pool", None)
    return not isinstance(inner, AsynPool) or len(_staying(inner)) <= inner._processes


def renew_children(consumer: Any) -> int | None:
    """Replace the children of a prefork pool, each when it has ended its job; return how many, without those
    that were replaced already. None: the pool has no children.
    """
    inner = getattr(consumer.pool, "_pool", None)
    return _retire(inner, len(inner._pool), consumer.hub) if isinstance(inner, AsynPool) else None


def _change_threads(pool: Any, wanted: int, _hub: Any) -> None:
    # Threads come with the next jobs. They do not go: what is one too many stands idle.
    pool.executor._max_workers = pool.limit = wanted


def _change_green(pool: Any, wanted: int, _hub: Any) -> None:
    if wanted > pool.limit:
        pool.grow(wanted - pool.limit)
    else:
        pool.shrink(pool.limit - wanted)


def _change_prefork(pool: Any, wanted: int, hub: Any) -> None:
    inner = pool._pool
    if wanted > inner._processes:
        pool.grow(wanted - inner._processes)
        pool.maintain_pool()
        return
    inner._putlock.shrink(inner._processes - wanted)
    inner._processes = wanted
    _retire(inner, len(_staying(inner)) - wanted, hub)


def _staying(inner: Any) -> list[Any]:
    """The children that were not told to end: they are up, or starting."""
    return [
        one for one in inner._pool if one.inqW_fd in inner._all_inqueues or one in inner._waiting_to_start
    ]


def _retire(inner: Any, number: int, hub: Any) -> int:
    """Have so many children end after the job they have, the idle first; fewer, if they are not up yet.

    Celery's own way sends them SIGTERM, and a job that was written to one a moment before dies with it. Here
    a child is written to no more, and its last message is the one by which the pool ends its children.
    """
    ready = [one for one in inner._pool if one.inqW_fd in inner._all_inqueues - inner._active_writes]
    ready.sort(key=lambda one: one.inqW_fd in inner._busy_workers)
    asked = 0
    for child in ready:
        if asked >= number:
            break
        try:
            child.inq.put(None)
        except OSError:
            continue  # it has not read its last job yet, and its pipe is full
        asked += 1
        fd = child.inqW_fd
        inner._all_inqueues.discard(fd)
        inner._fileno_to_inq.pop(fd, None)
        hub.remove_writer(fd)
    return asked


_CHANGES = {"threads": _change_threads, "gevent": _change_green, "eventlet": _change_green}
