"""The limits of resources, and rates of one's own, for code that is no job: a request, a script."""

from __future__ import annotations

import math
import time
from contextlib import ContextDecorator
from types import TracebackType
from typing import Any

from celery import Celery, current_app
from kombu.exceptions import OperationalError

from queueops.engine.rules.gates import rate as per_minute_of
from queueops.engine.slots import Acquired
from queueops.engine.store import Store
from queueops.errors import BrokerUnavailable, ConfigurationError, LimitReached
from queueops.middleware.org import check_resource
from queueops.middleware.publish import unavailable

__all__ = ["limit", "try_acquire"]

#: A gate that waits for an event (a slot that is freed, a probe that ends) is asked again after this.
_ASK_SECONDS = 0.05
_NAME_LIMIT = 255


class limit(ContextDecorator):
    """Do something within a limit: `with limit("stripe", wait=2.0): ...`; also a decorator.

    Without a rate the limits are those of the resource: its rate, its cap, its breaker and its pause, shared
    with the jobs that use it; how the block ends counts for the breaker. With a rate the name is any key, and
    the rate is its own: `with limit(f"sms:{number}", rate="5/h"): ...`

    Args:
        name: a resource, or with a rate any key of at most 255 characters.
        wait: seconds to wait for it; 0 is no waiting.
        rate: as "100/m" or "10/s", or a number a minute.
        burst: how many of the rate may come at once; 1 where it is not given.
        hold: seconds after which a slot of a capped resource is taken back, should the process die meanwhile.
        ignores: exceptions that say nothing about the resource; every other one counts as its failure.
        app: the Celery app whose broker keeps the limits; the current one.

    Raises:
        LimitReached: the limit did not open in time; says how long that will take.
        BrokerUnavailable: the broker does not answer.
    """

    def __init__(
        self,
        name: str,
        *,
        wait: float = 0.0,
        rate: str | float | None = None,
        burst: int = 1,
        hold: float = 60.0,
        ignores: tuple[type[BaseException], ...] = (),
        app: Celery | None = None,
    ) -> None:
        self._name, self._wait, self._hold, self._ignores, self._app = name, wait, hold, ignores, app
        self._per_minute = None if rate is None else per_minute_of(rate)
        self._burst = _checked_burst(burst)
        if rate is None:
            check_resource(name)
        else:
            _checked_key(name)
        self._slots: list[str] = []

    def _recreate_cm(self) -> limit:
        # As a decorator every call needs a slot of its own.
        fresh = limit.__new__(limit)
        fresh.__dict__.update(self.__dict__, _slots=[])
        return fresh

    def __enter__(self) -> limit:
        ends = time.monotonic() + self._wait
        while True:
            answer = self._try()
            if not answer.gate:
                self._slots.append(answer.slot)
                return self
            left = ends - time.monotonic()
            opens_in = answer.wait_ms / 1000
            # Nobody knows when a slot is freed or a probe ends; a rate and a pause have their time.
            if answer.gate in ("resource_concurrency", "resource_breaker"):
                opens_in = min(opens_in, _ASK_SECONDS)
            if opens_in > left:
                raise LimitReached(self._name, answer.gate, answer.wait_ms / 1000)
            time.sleep(opens_in)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        slot = self._slots.pop()
        if not slot:
            return
        verdict = "good" if error is None else "bad"
        if error is not None and (not isinstance(error, Exception) or isinstance(error, self._ignores)):
            verdict = ""
        try:
            with _Broker(self._app) as store:
                store.give_slot(slot, verdict)
        except BrokerUnavailable:
            # What was done is done; the slot expires by itself.
            pass

    def _try(self) -> Acquired:
        with _Broker(self._app) as store:
            if self._per_minute is None:
                return store.acquire_resource(self._name, hold_ms=max(1, round(self._hold * 1000)))
            return store.acquire_rate(self._name, per_minute=self._per_minute, burst=self._burst)


def try_acquire(
    key: str, limit: int = 100, window: float = 60.0, *, burst: int | None = None, app: Celery | None = None
) -> bool:
    """Take one of `limit` in `window` seconds, counted under `key` for all processes together; never waits.

    A bucket that fills evenly: after a quiet time `burst` may come at once, then one every window / limit
    seconds. So no window sees more than limit + burst.

    Args:
        key: anything of 1 to 255 characters.
        limit: how many in a window.
        window: seconds.
        burst: how many at once; `limit` where it is not given.
        app: the Celery app whose broker counts; the current one.

    Returns:
        Whether it was taken.

    Raises:
        LimitInvalid: limit, window or burst are out of range.
        BrokerUnavailable: the broker does not answer.
    """
    if not (math.isfinite(window) and window > 0):
        raise ConfigurationError(f"window is a number of seconds above 0, not {window!r}.")
    per_minute = per_minute_of(limit * 60 / window)
    with _Broker(app) as store:
        taken = store.acquire_rate(
            _checked_key(key), per_minute=per_minute, burst=_checked_burst(limit if burst is None else burst)
        )
    return not taken.gate


def _checked_burst(burst: int) -> int:
    if isinstance(burst, bool) or not isinstance(burst, int) or not 1 <= burst <= 1_000_000:
        raise ConfigurationError(f"burst is a whole number from 1 to 1,000,000, not {burst!r}.")
    return burst


def _checked_key(key: str) -> str:
    if not isinstance(key, str) or not 0 < len(key) <= _NAME_LIMIT:
        raise ConfigurationError(f"A limit's key has 1 to {_NAME_LIMIT} characters, not {key!r:.80}.")
    return key


class _Broker:
    """The store on a connection of the app's publishers."""

    def __init__(self, app: Celery | None) -> None:
        self._app: Celery = app or current_app

    def __enter__(self) -> Store:
        self._acquired: Any = self._app.producer_or_acquire()
        self._producer = self._acquired.__enter__()
        connection = self._producer.connection
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
            store: Store | None = getattr(self._producer.channel, "store", None)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        if store is None:
            self._acquired.__exit__(None, None, None)
            raise ConfigurationError(f"Limits need a broker with queueops://, not {connection.as_uri()}.")
        return store

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection = self._producer.connection
        self._acquired.__exit__(kind, error, trace)
        if error is None or isinstance(error, BrokerUnavailable):
            return
        if isinstance(error, (OperationalError, *connection.recoverable_connection_errors)):
            raise unavailable(connection, error) from error
