"""Slots of a running worker: set by a person for its queue, or by the queue's rule and its backlog.

Each worker takes its own part. The broker holds what was set and what the rule wants, everybody divides it by
the same arithmetic among the registered workers, and so several workers of one queue agree without talking.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import monotonic, time
from typing import Any

from celery.utils.log import get_logger
from redis.exceptions import OutOfMemoryError

from queueops.conf import config
from queueops.engine.store import Store
from queueops.engine.types import Scale, WorkerInfo
from queueops.middleware import pool_size
from queueops.middleware.slot_shares import next_step, of_rule, of_setting, told
from queueops.transport.holder import Holder
from queueops.transport.transport import lease_thread

__all__ = ["Autoscaler", "Keeper"]

logger = get_logger(__name__)

#: Seconds between two looks at what was set.
LOOK_SECONDS = 2.0
#: What the rule wanted is old after so many of its steps: nobody takes them any more.
STEPS_KEPT = 3


class Autoscaler:
    """What `celery worker --autoscale=MAX,MIN` makes of a worker: one that follows the rule of its queues
    (QUEUEOPS["QUEUES"][queue]["autoscale"]) within these bounds. It only holds them; a `Keeper` acts.
    """

    #: Celery calls `maybe_scale` so often, in seconds.
    keepalive = 60.0

    def __init__(
        self, pool: Any, max_concurrency: int, min_concurrency: int = 0, worker: Any = None, **_: Any
    ) -> None:
        self.pool = pool
        self.max_concurrency, self.min_concurrency = max_concurrency, min_concurrency
        #: When somebody changed the bounds, in ms; 0 = never.
        self.changed_ms = 0
        self.told = "follows the rule of its queues"

    @property
    def bounds(self) -> tuple[int, int]:
        """Least and most slots."""
        least = max(1, self.min_concurrency)
        return least, max(least, self.max_concurrency)

    def start(self) -> None:
        """Nothing: the keeper has a thread."""

    def stop(self) -> None:
        """Nothing."""

    def maybe_scale(self, req: Any = None) -> None:
        """Nothing: the backlog decides, not what this worker has in hand."""

    def update(self, max: int | None = None, min: int | None = None) -> tuple[int, int]:
        """Take other bounds, as `celery control autoscale MAX MIN` asks; they win over an older setting."""
        self.max_concurrency = self.max_concurrency if max is None else max
        self.min_concurrency = self.min_concurrency if min is None else min
        self.changed_ms = round(time() * 1000)
        return self.max_concurrency, self.min_concurrency

    def info(self) -> dict[str, Any]:
        """What `celery inspect stats` shows."""
        least, most = self.bounds
        return {"max": most, "min": least, "current": pool_size.size(self.pool), "told": self.told}


class Keeper:
    """Keeps the number of a worker's slots. `turn` runs in a thread beside the worker's loop."""

    def __init__(self, consumer: Any, holder: Holder) -> None:
        self._consumer = consumer
        self._holder = holder
        #: The number that holds where nothing else says one.
        self._own = holder.slots or 1
        #: When somebody asked for it, in ms of this machine's clock; 0 = it was started with it.
        self._own_ms = 0
        #: Whether what was set for its queue has changed it.
        self._held = False
        self._due = 0.0
        self._said: tuple[int, bool] | None = None

    def for_worker(self, slots: int) -> int:
        """Have so many slots because somebody asked this one worker; wins over what was set for its queue
        before. To be called in the worker's loop, as `for_queue`. Returns how many it has.
        """
        self._own, self._own_ms = max(1, slots), round(time() * 1000)
        return self._change(slots)

    def for_queue(self, slots: int) -> int:
        """Have so many slots, its part of what was set for its queue, without waiting for the next look."""
        self._held = True
        return self._change(slots)

    def turn(self, store: Store) -> None:
        """Look, about every two seconds, and have the worker's loop change the pool."""
        now = monotonic()
        if now < self._due or self._holder.rests:
            return
        self._due = now + LOOK_SECONDS
        pool = self._consumer.pool
        if not pool_size.can_change(pool):
            return
        target, why = self._target(store)
        if target is None:
            target = pool_size.size(pool)
        if target != self._holder.slots or not pool_size.is_settled(pool):
            self._consumer.call_soon(partial(self._change, target))
        # Not at each step of the rule: its reason counts jobs, and differs each time.
        if why and (target, self._held) != self._said:
            self._said = target, self._held
            logger.info("Slots: %d, since %s", target, why)

    def _change(self, target: int) -> int:
        slots = pool_size.change(self._consumer, self._holder, target)
        if thread := lease_thread(self._holder):
            thread.renew_soon()  # the others divide by what they read of this one
        self._holder.look()
        return slots

    def _target(self, store: Store) -> tuple[int | None, str]:
        """Slots that the worker is to have, and why; None is "as it is"."""
        holder = self._holder
        autoscaler = self._autoscaler()
        holder.bounds = autoscaler.bounds if autoscaler else None
        scales, now_ms = store.scales(holder.queues)
        since_ms = max(self._own_ms, autoscaler.changed_ms if autoscaler else 0)
        if since_ms:
            since_ms += now_ms - round(time() * 1000)  # by the broker's clock, as settings are
        settings = [one for one, _ in scales.values() if one is not None and one.at_ms > since_ms]
        if settings:
            self._held = True
            setting = max(settings, key=lambda one: one.at_ms)
            why = told(setting)
            if autoscaler:
                autoscaler.told = f"{why}; then it follows the rule again"
            return of_setting(setting, store.workers(leases=False)).get(holder.name), why
        if autoscaler:
            self._held = False
            return self._by_rule(store, autoscaler, scales, now_ms)
        self._held = self._held and holder.slots != self._own
        return (self._own, "what was set for its queue has ended") if self._held else (None, "")

    def _by_rule(
        self,
        store: Store,
        autoscaler: Autoscaler,
        scales: dict[str, tuple[Scale | None, Scale | None]],
        now_ms: int,
    ) -> tuple[int | None, str]:
        workers = store.workers(leases=False)
        parts: list[tuple[int, str]] = []
        for queue, (_, noted) in scales.items():
            wanted = self._step(store, queue, workers, noted, now_ms)
            if wanted is not None and self._holder.name in (part := of_rule(wanted, workers)):
                parts.append((part[self._holder.name], f"{queue} wants {wanted.count}: {wanted.reason}"))
        if not parts:
            return None, ""
        # Its slots serve all of its queues: the one that wants most of this worker decides.
        target, why = max(parts)
        autoscaler.told = f"follows the rule: {why}"
        return target, why

    def _step(
        self, store: Store, queue: str, workers: Sequence[WorkerInfo], noted: Scale | None, now_ms: int
    ) -> Scale | None:
        """What the rule wants of a queue; the first worker that asks when a step is due takes it for all."""
        rule = config().queue(queue).autoscale
        lock = store.key("lock", name=f"scale {queue}")
        try:
            every_ms = max(1, round(rule.every * 1000))
            if not store.client.set(lock, self._holder.name, nx=True, px=every_ms):
                old = noted is None or now_ms - noted.at_ms > STEPS_KEPT * every_ms + LOOK_SECONDS * 1000
                return None if old else noted
            slots = sum(one.size for one in workers if queue in one.queues and one.offers)
            wanted = next_step(store, queue, rule, slots, now_ms)
            store.note_scale(wanted)
        except OutOfMemoryError:
            return noted  # a full broker writes nothing down; what it holds was wanted a moment ago
        return wanted

    def _autoscaler(self) -> Autoscaler | None:
        found = getattr(self._consumer.controller, "autoscaler", None)
        return found if isinstance(found, Autoscaler) else None
