"""Tells the broker how each queue is shared: slots, weights, caps and shares, from settings and environment.

What a single org may have beyond that are rows in the database; the operations publish them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from queueops.conf import config
from queueops.engine.rules.gates import Limits
from queueops.middleware.chain import Middleware

if TYPE_CHECKING:
    from queueops.engine.store import Store

__all__ = ["Fairness", "publish_default"]


class Fairness(Middleware):
    """Publishes each queue's concurrency, fair_by, delivery and backlog limits, and its orgs' default weight
    and caps.
    """

    fields: ClassVar[tuple[str, ...]] = ("weight", "max_in_flight", "share")

    def worker_started(self, store: Store) -> None:
        """Publish; a worker with newer settings wins over what an older one has published."""
        self.publish(store)

    def publish(self, store: Store) -> int:
        """Publish the settings of every declared queue; return how many entries of the broker changed."""
        settings = config()
        changed = 0
        for queue in settings.queues.values():
            changed += store.set_queue(
                queue.name,
                concurrency=queue.concurrency,
                fair_by=queue.fair_by,
                delivery_limit=settings.delivery_limit,
                exempt_org=settings.default_org,
                max_ready=queue.max_ready,
                max_ready_per_org=queue.max_ready_per_org,
            )
            changed += publish_default(store, queue.name, self.fields)
        return changed


def publish_default(store: Store, queue: str, fields: Collection[str]) -> int:
    """Publish these limits of the orgs that have no own row; return how many entries changed (0 or 1).

    The other fields keep what another member of the chain has published.
    """
    given = config().queue(queue).limits
    values: dict[str, Any] = {name: given.get(name) for name in fields}
    if "weight" in values and values["weight"] is None:
        values["weight"] = 1.0
    if "rpm" in values and values["rpm"] is None:
        values["burst"] = None  # a burst means nothing without its rate; a system check says so
    held = store.read_limits(queue).get("")
    wanted = replace(held or Limits(), **values)
    if wanted == (held or Limits()):
        return 0
    return store.set_limits(queue, {"": None if wanted == Limits() else wanted})
