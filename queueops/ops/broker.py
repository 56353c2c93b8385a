"""The way from Django to the engine: one connection of the project's Celery application."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from celery import current_app
from kombu.exceptions import OperationalError

from queueops.engine.store import Store
from queueops.errors import BrokerFull, BrokerUnavailable, ConfigurationError

__all__ = ["store"]

#: A replica that was the primary a moment ago answers and refuses: for the caller that is "away" too.
_AWAY = (
    OperationalError,
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.ReadOnlyError,
    OSError,
)


@contextmanager
def store() -> Iterator[Store]:
    """The broker's store, on a connection that is closed at the end.

    Raises:
        BrokerUnavailable: the broker does not answer, at the start or later.
        BrokerFull: it is over its memory limit and takes no new job.
        ConfigurationError: CELERY_BROKER_URL is not a queueops:// address.
    """
    try:
        with current_app.connection_for_write() as connection:
            # A person waits for the answer: one more try at once, not two seconds later.
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
            channel = connection.default_channel
            found = getattr(channel, "store", None)
            if found is None:
                raise ConfigurationError(
                    f"The broker's address is {connection.as_uri()}; queueops needs one with queueops://."
                )
            yield found
    except BrokerUnavailable:
        raise
    except redis.exceptions.OutOfMemoryError as error:
        raise BrokerFull() from error
    except _AWAY as error:
        raise BrokerUnavailable(f"The broker does not answer: {error}") from error
