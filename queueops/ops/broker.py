"""The way from Django to the engine: one connection of the project's Celery application."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import redis
from celery import current_app
from kombu.exceptions import OperationalError

from queueops.engine.store import Store
from queueops.errors import BrokerFull, BrokerUnavailable, ConfigurationError

__all__ = ["shared", "store"]

#: A replica that was the primary a moment ago answers and refuses: for the caller that is "away" too.
_AWAY = (
    OperationalError,
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.ReadOnlyError,
    OSError,
)


@dataclass(slots=True)
class _Kept:
    stack: ExitStack
    store: Store | None = None


#: What `shared` keeps for this thread's calls of `store`.
_kept: ContextVar[_Kept | None] = ContextVar("queueops_kept_store", default=None)


@contextmanager
def store() -> Iterator[Store]:
    """The broker's store, on a connection that is closed at the end, or at the end of `shared`.

    Raises:
        BrokerUnavailable: the broker does not answer, at the start or later.
        BrokerFull: it is over its memory limit and takes no new job.
        ConfigurationError: CELERY_BROKER_URL is not a queueops:// address.
    """
    kept = _kept.get()
    try:
        if kept is None:
            with _opened() as found:
                yield found
        else:
            if kept.store is None:
                kept.store = kept.stack.enter_context(_opened())
            yield kept.store
    except BrokerUnavailable:
        raise
    except redis.exceptions.OutOfMemoryError as error:
        raise BrokerFull() from error
    except _AWAY as error:
        raise BrokerUnavailable(f"The broker does not answer: {error}") from error


@contextmanager
def shared() -> Iterator[None]:
    """Let all that asks for the store inside have one connection, which is opened by the first of them.

    For a page that calls ten verbs: opening a connection takes longer than what most of them ask.
    """
    with ExitStack() as stack:
        token = _kept.set(_Kept(stack))
        try:
            yield
        finally:
            _kept.reset(token)


@contextmanager
def _opened() -> Iterator[Store]:
    with current_app.connection_for_write() as connection:
        # A person waits for the answer: one more try at once, not two seconds later.
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        found = getattr(connection.default_channel, "store", None)
        if found is None:
            raise ConfigurationError(
                f"The broker's address is {connection.as_uri()}; queueops needs one with queueops://."
            )
        yield found
