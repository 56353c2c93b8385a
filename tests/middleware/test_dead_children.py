"""A prefork child that dies at the moment of a reconnect."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from celery.concurrency.asynpool import AsynPool
from kombu.asynchronous import Hub

from queueops.middleware.worker import _see_dead_children


@pytest.fixture
def pool() -> Iterator[AsynPool]:
    made = AsynPool(processes=1, threads=False)
    yield made
    made.terminate()
    made.join()


def test_celery_watches_nothing_and_would_end(pool: AsynPool) -> None:
    """What is mended: the day this passes without an error, ``_see_dead_children`` may go."""
    hub = Hub()
    pool.register_with_event_loop(hub)
    pool._untrack_child_process(pool._pool[0], hub)
    with pytest.raises(ValueError, match="file descriptor is None"):
        pool.register_with_event_loop(hub)


def test_a_child_that_celery_has_given_up_is_watched_again(pool: AsynPool) -> None:
    hub = Hub()
    pool.register_with_event_loop(hub)
    [child] = pool._pool
    # What Celery does when it sees that the child has ended, before it finds the process itself.
    pool._untrack_child_process(child, hub)
    _see_dead_children(SimpleNamespace(_pool=pool))
    pool.register_with_event_loop(hub)
    assert child._sentinel_poll in hub.readers


@pytest.mark.parametrize("pool", [None, SimpleNamespace(), SimpleNamespace(_pool=None)])
def test_other_pools_have_no_children(pool: object) -> None:
    _see_dead_children(pool)
