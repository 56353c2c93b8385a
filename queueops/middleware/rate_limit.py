"""Tells the broker how many jobs a minute an org may start in each queue, and what resources may take.

The gates themselves are in the broker: a job over a rate keeps its place in its lane and occupies no worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from queueops.conf import config
from queueops.middleware import resources
from queueops.middleware.chain import Middleware
from queueops.middleware.fairness import publish_default

if TYPE_CHECKING:
    from queueops.engine.store import Store

__all__ = ["RateLimit"]


class RateLimit(Middleware):
    """Publishes the default rate and burst of the orgs of each queue, and the limits of resources."""

    fields: ClassVar[tuple[str, ...]] = ("rpm", "burst")

    def worker_started(self, store: Store) -> None:
        """Publish; a worker with newer settings wins over what an older one has published."""
        self.publish(store)
        resources.publish(store)

    def publish(self, store: Store) -> int:
        """Publish the rates of orgs in every declared queue; return how many entries changed."""
        return sum(publish_default(store, queue, self.fields) for queue in config().queues)
