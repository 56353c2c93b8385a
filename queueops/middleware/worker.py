"""A worker's main process: its slots, its start and its end, and the chores it does beside the jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any

from celery import Celery, bootsteps, signals
from celery.app.task import Task
from celery.utils.log import get_logger
from celery.worker import state
from redis.exceptions import OutOfMemoryError

from queueops.conf import config
from queueops.engine.store import Store
from queueops.errors import ConfigurationError
from queueops.middleware import payloads, pool_size
from queueops.middleware.autoscale import Autoscaler, Keeper
from queueops.middleware.chain import chain
from queueops.middleware.memory import resident_bytes
from queueops.transport.adoption import adopt
from queueops.transport.holder import Holder
from queueops.transport.holders import holders
from queueops.transport.transport import end_leases, lease_thread

logger = get_logger(__name__)


@dataclass(slots=True)
class Chore:
    """A function that one worker process of all runs about every ``seconds``."""

    name: str
    seconds: float
    run: Callable[[Store], Any]
    due: float = field(default=0.0)
    #: The class of what it failed with last; empty after a success.
    failed: str = ""


class Chores:
    """What workers do beside jobs, such as collecting dead letters. One process at a time does each."""

    def __init__(self) -> None:
        self._chores: dict[str, Chore] = {}

    def register(self, name: str, seconds: float, run: Callable[[Store], Any]) -> None:
        """Have ``run(store)`` called about every ``seconds`` by one worker; the same name replaces."""
        self._chores[name] = Chore(name, seconds, run)

    def turn(self, store: Store, holder: str, now: float) -> None:
        """Run what is due and what no other process is at."""
        for chore in list(self._chores.values()):
            if now < chore.due:
                continue
            chore.due = now + chore.seconds
            lock = store.key("lock", name=chore.name)
            try:
                # The lock outlives a run that hangs, not by much: the next process goes on after it.
                if not store.client.set(lock, holder, nx=True, ex=max(30, int(chore.seconds * 3))):
                    continue
            except OutOfMemoryError:
                # A full broker takes no lock. Chores may run side by side, only to no use; and what makes
                # room again, the way of dead letters into the database, is one of them.
                pass
            try:
                chore.run(store)
                if chore.failed:
                    chore.failed = ""
                    logger.info("Chore %s works again", chore.name)
            except Exception as error:
                # Once: a database that is away for an hour would fill the log with tracebacks.
                if chore.failed != type(error).__name__:
                    chore.failed = type(error).__name__
                    logger.exception("Chore %s failed; it is tried every %g s", chore.name, chore.seconds)
            finally:
                # Held until it is due again, or fifty workers would each do it at every interval.
                store.client.pexpire(lock, max(1, int(chore.seconds * 900)))


chores = Chores()


def install(app: Celery) -> None:
    """Make workers of ``app`` use leases."""
    # On the base class of all tasks, so that ``shared_task(base=...)`` has them too. For a message of another
    # transport both do what Celery's own do.
    Task.Request = "queueops.middleware.request:Request"
    Task.Strategy = "queueops.middleware.strategy:strategy"
    app.steps["consumer"].add(Leases)
    app.on_after_configure.connect(_configure, sender=app, weak=False, dispatch_uid="queueops.worker")
    if app.configured:
        _configure(app, app.conf)


def _configure(sender: Celery, source: Any, **_: Any) -> None:
    settings = config()
    source.maps[-1]["worker_consumer"] = "queueops.middleware.consumer:Consumer"
    source.maps[-1]["worker_autoscaler"] = "queueops.middleware.autoscale:Autoscaler"
    source.maps[-1]["worker_enable_prefetch_count_reduction"] = False
    ours = {
        "lease_seconds": settings.lease_seconds,
        "heartbeat_seconds": settings.heartbeat_seconds,
        "prefetch": settings.prefetch,
        "max_payload_bytes": settings.max_payload_bytes,
        "queue_weights": {name: queue.weight for name, queue in settings.queues.items()},
    }
    source.broker_transport_options = {**ours, **(source.broker_transport_options or {})}


class Leases(bootsteps.StartStopStep):
    """Consumer step: says how many slots the worker has, and readies the broker, before the first claim."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, c: Any) -> None:
        """Run after each (re)connection."""
        channel = c.connection.default_channel
        holder: Holder | None = getattr(channel, "holder", None)
        if holder is None:
            return  # another transport
        _see_dead_children(c.pool)
        channel.serves_pool = True
        first = holder.slots is None
        if isinstance(scaler := getattr(c.controller, "autoscaler", None), Autoscaler):
            # Celery counts with the most that the pool may become; until then these would wait in it.
            c.initial_prefetch_count = pool_size.size(c.pool)
            if c.qos is not None:  # the step that makes it may have come first
                c.qos.value = c.initial_prefetch_count
            holder.bounds = scaler.bounds
        holder.slots = c.initial_prefetch_count
        holder.pool = pool_size.pool_name(c.pool)
        holder.node = c.hostname
        holder.queues = tuple(c.app.amqp.queues.consume_from)
        if not first:
            return
        _ended.clear()  # a process may run one worker after the other, as tests do
        holder.max_jobs = config().max_jobs
        _refuse_eviction(channel.store)
        chain().worker_started(channel.store)
        if holder.max_jobs:
            holder.subscribe(lambda _urgent: _stop_at(holder))
        c.keeper = Keeper(c, holder)
        # With its remote control command; processes that only publish do without.
        from queueops.middleware.stopping import stop_cancelled

        turn = partial(stop_cancelled, holder, c.pool)
        threading.Thread(
            target=_chores_loop, args=(c.app, holder, turn, c.keeper), name="queueops-chores", daemon=True
        ).start()


def _see_dead_children(pool: Any) -> None:
    """Let a prefork pool watch a child again that died at the moment of a reconnect.

    Celery notices the death, stops watching, and finds the process not yet reaped; a reconnect before its
    next look makes it watch "nothing", and ends the worker by a ValueError.
    """
    for process in getattr(getattr(pool, "_pool", None), "_pool", None) or ():
        if getattr(process, "_sentinel_poll", 0) is None:
            del process._sentinel_poll


def _refuse_eviction(store: Store) -> None:
    policy = store.client.info("memory").get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise ConfigurationError(
            f"the broker's maxmemory-policy is {policy}: under pressure it would delete jobs. "
            "Set it to noeviction."
        )


def _stop_at(holder: Holder) -> None:
    if holder.ended_total >= holder.max_jobs and state.should_stop is None:
        logger.info("%d jobs done: the worker ends", holder.ended_total)
        state.should_stop = 0


def _chores_loop(app: Celery, holder: Holder, stop_cancelled: Callable[[], None], keeper: Keeper) -> None:
    adopted = False
    lost_seen = 0
    refused_seen = ""
    weighed = 0.0
    while not holder.draining:
        try:
            with app.connection_for_write() as connection:
                store = connection.default_channel.store
                while not holder.draining:
                    if not adopted:
                        for queue in holder.queues:
                            if number := adopt(store, queue, org=config().default_org):
                                logger.warning(
                                    "Adopted %d messages that stock Celery left in %s", number, queue
                                )
                        adopted = True
                    if holder.lost_total > lost_seen:
                        logger.warning(
                            "%d leases were lost: the process stood still or was cut off too long. "
                            "Those jobs may run elsewhere; what they settle here is refused.",
                            holder.lost_total - lost_seen,
                        )
                        lost_seen = holder.lost_total
                    stop_cancelled()
                    keeper.turn(store)
                    thread = lease_thread(holder)
                    if thread is not None and thread.refused != refused_seen:
                        refused_seen = thread.refused
                        logger.error("The broker refuses what the lease thread asks: %s", refused_seen)
                    if monotonic() >= weighed:
                        weighed = monotonic() + config().heartbeat_seconds
                        holder.memory_bytes = resident_bytes()
                    chores.turn(store, holder.name, monotonic())
                    payloads.remove_ended()
                    _ended.wait(0.5)
        except Exception as error:
            logger.warning("Chores wait for the broker: %s", error)
            _ended.wait(2.0)


_ended = threading.Event()


@signals.worker_shutting_down.connect(weak=False)
def _drain(**_: Any) -> None:
    # Runs inside the signal handler: set a flag and wake the lease thread, which gives the buffer back.
    for holder in holders():
        holder.draining = True
        if thread := lease_thread(holder):
            thread.renew_soon()  # the broker learns that its slots are gone


def leave() -> None:
    """Settle and release everything of this process; called when the pool has ended.

    A warm shutdown waits as long as a lease for a broker that is away, if it has ends of jobs to tell.
    """
    _ended.set()
    cold = state.should_terminate is not None and state.should_terminate is not False
    for holder in holders():
        end_leases(holder, 0.0 if cold else config().lease_seconds)
    payloads.remove_ended(seconds=0.0 if cold else 2.0)
