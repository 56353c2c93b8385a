"""The verbs of workers: listed, quiet, unquiet, stop, restart. How many slots they have is in `scaling`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from queueops.conf import config
from queueops.engine.store import Store
from queueops.engine.types import HeldJob, WorkerInfo
from queueops.errors import UnknownQueue, UnknownWorker
from queueops.middleware import worker_control
from queueops.ops import audit, broker, permissions
from queueops.ops.permissions import Actor
from queueops.ops.worker_answers import DONE, WorkerAnswer, answer_of, ask
from queueops.ops.worker_command import command

__all__ = [
    "RunningJob",
    "WorkerAnswer",
    "WorkerRow",
    "command",
    "listed",
    "quiet",
    "restart",
    "stop",
    "unquiet",
]


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job in the hand of a worker for `seconds`: it runs, or is about to."""

    task_id: str
    task: str
    org: str
    queue: str
    seconds: float


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker as the broker knows it; what it says of itself is at most as old as `last_beat_at`.

    Attributes:
        name: in Celery; remote control reaches it by that.
        holder: of its leases; one per process.
        pool: prefork, threads, gevent, eventlet or solo; "" of a version that did not tell.
        slots: jobs that it runs at once, also while it is quiet and offers none of them.
        memory_bytes: resident, of its main process and all children; None where it could not say. Pages that
            children share with the main process count once for each.
        last_beat_at: when it renewed last; it does each HEARTBEAT_SECONDS.
        processed: jobs that ended in it.
        jobs: leases that it holds: what runs, and what it has claimed ahead.
        quiet: it takes no new job. `stopping`: it ends when its jobs have ended.
        current: some of these jobs, the longest held first.
        autoscale: least and most slots that its autoscaler was given; None without one.
    """

    name: str
    holder: str
    hostname: str
    pid: int
    pool: str
    slots: int
    queues: tuple[str, ...]
    version: str
    memory_bytes: int | None
    started_at: datetime
    last_beat_at: datetime | None
    processed: int
    jobs: int
    quiet: bool
    current: tuple[RunningJob, ...]
    stopping: bool = False
    autoscale: tuple[int, int] | None = None


def listed(actor: Actor, queue: str | None = None, *, current: int = 5) -> list[WorkerRow]:
    """The workers that are registered, by name; of one queue, or all. Asks the broker only, no worker.

    Args:
        current: jobs in hand to tell of each worker, at most.

    Raises:
        PermissionDenied: the actor may not view operations.
        UnknownQueue: neither the settings nor the broker know the queue, and no worker serves it.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.VIEW_OPERATIONS)
    with broker.store() as store:
        found = serving(store, queue)
        held = store.held_by(found, current)
        now_ms = store.now_ms()
    return sorted((_row(one, held.get(one.holder, ()), now_ms) for one in found), key=lambda row: row.name)


def serving(store: Store, queue: str | None) -> list[WorkerInfo]:
    """The registered workers of a queue, or all. Raises UnknownQueue as `listed`."""
    # One that has lapsed is gone, though it stays registered where no other worker strikes it off.
    found = [one for one in store.workers() if not one.lapsed]
    if queue is None:
        return found
    those = [one for one in found if queue in one.queues]
    if not those:
        known = {*config().queues, *store.queues()}
        if queue not in known:
            raise UnknownQueue(queue, known)
    return those


def quiet(actor: Actor, names: str | Iterable[str]) -> list[WorkerAnswer]:
    """Have workers take no new job: what runs ends, what they had claimed ahead goes back to its lane.

    They stay so over reconnects, until `unquiet` or their end.

    Args:
        names: of workers in Celery, or of their holders.

    Raises:
        PermissionDenied: the actor may not operate workers.
        UnknownWorker: no worker of a name is registered; nobody was asked.
        BrokerUnavailable: the broker does not answer.
    """
    return _ask(actor, "quiet", names, worker_control.QUIET, {"on": True})


def unquiet(actor: Actor, names: str | Iterable[str]) -> list[WorkerAnswer]:
    """Have quiet workers take jobs again. Arguments and errors as `quiet`."""
    return _ask(actor, "unquiet", names, worker_control.QUIET, {"on": False})


def stop(actor: Actor, names: str | Iterable[str]) -> list[WorkerAnswer]:
    """End workers as SIGTERM does: running jobs end first, the rest goes back. Whoever supervises the
    process may start it again. Arguments and errors as `quiet`.
    """
    return _ask(actor, "stop", names, worker_control.STOP, {})


def restart(actor: Actor, names: str | Iterable[str]) -> list[WorkerAnswer]:
    """Replace the children of prefork workers, each when it has ended its job.

    The main process goes on, with the code it has loaded. Other pools have no children: the answer says what
    to do. Arguments and errors as `quiet`.
    """
    return _ask(actor, "restart", names, worker_control.RESTART, {})


def _ask(
    actor: Actor, verb: str, names: str | Iterable[str], command: str, arguments: dict[str, Any]
) -> list[WorkerAnswer]:
    actor.require(permissions.OPERATE_WORKER)
    wanted = [names] if isinstance(names, str) else list(names)
    with broker.store() as store:
        workers = named(store.workers(), wanted)
        answers = ask(command, arguments, [one.node for one in workers])
    done = [answer_of(one, answers.get(one.node)) for one in workers]
    for one in done:
        audit.record(actor, verb, f"worker {one.name}", {"done": one.word}, int(one.word in DONE))
    return done


def named(workers: Sequence[WorkerInfo], names: Iterable[str]) -> list[WorkerInfo]:
    """The workers of these names or holders, each once. Raises UnknownWorker."""
    found: dict[str, WorkerInfo] = {}
    for name in names:
        those = [one for one in workers if name and name in (one.node, one.holder)]
        if not those:
            raise UnknownWorker(name, (one.node or one.holder for one in workers))
        found.update((one.node, one) for one in those)
    return list(found.values())


def _row(one: WorkerInfo, jobs: Iterable[HeldJob], now_ms: int) -> WorkerRow:
    return WorkerRow(
        name=one.node or one.holder,
        holder=one.holder,
        hostname=one.hostname,
        pid=one.pid,
        pool=one.pool,
        slots=one.size,
        queues=tuple(one.queues),
        version=one.version,
        memory_bytes=one.memory_bytes,
        started_at=moment(one.started_ms),
        last_beat_at=moment(one.beat_ms) if one.beat_ms > 0 else None,
        processed=one.processed,
        jobs=one.leases,
        quiet=one.quiet,
        current=tuple(
            RunningJob(job.task_id, job.task, job.org, job.queue, max(0, now_ms - job.claimed_ms) / 1000)
            for job in jobs
        ),
        stopping=one.stopping,
        autoscale=one.bounds,
    )


def moment(ms: int) -> datetime:
    """The time that the engine tells, in ms since 1970."""
    return datetime.fromtimestamp(ms / 1000, UTC)
