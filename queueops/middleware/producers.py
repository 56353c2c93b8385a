"""Producers that stay with their connection from one publish to the next.

Celery's pool gives a producer's connection back after each message and binds another one before the next: a
tenth of what a publish costs. These hold on to theirs, out of a pool of their own, so that nothing else in
the process ever waits for a connection that an idle producer keeps.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu.pools import ProducerPool
from kombu.resource import Resource

__all__ = ["Producers", "producers_of"]


class Producers(ProducerPool):
    """A pool whose producers are still connected when they come back."""

    def release(self, resource: Any) -> None:
        """Take a producer back; one whose channel is gone lets go of its connection first."""
        channel = resource._channel
        # A pool without a limit keeps nothing, and a promise of a channel has none yet.
        if self.limit and getattr(channel, "closed", True) is False and channel.connection is not None:
            Resource.release(self, resource)
        else:
            super().release(resource)


def producers_of(app: Celery) -> Producers:
    """Return a new pool of at most `broker_pool_limit` producers, each with a connection of its own."""
    connection, limit = app.connection_for_write(), app.pool.limit
    return Producers(connection.Pool(limit), limit=limit)
