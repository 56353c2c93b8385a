"""Database connections of threads that live as long as a worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections

__all__ = ["released"]


@contextmanager
def released() -> Iterator[None]:
    """Close this thread's connections at the end: between two turns a chore would hold them for nothing.

    Within a transaction they stay open; its owner ends them.
    """
    try:
        yield
    finally:
        for connection in connections.all(initialized_only=True):
            if not connection.in_atomic_block:
                connection.close()
