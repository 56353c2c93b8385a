"""Deadlines (when a job should have run) and run limits (how long an attempt may take)."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from queueops.conf import config
from queueops.errors import ConfigurationError
from queueops.middleware.chain import Envelope, Middleware

__all__ = ["Deadline", "deadline_ms", "hard_limit"]


class Deadline(Middleware):
    """Turns the options `deadline` and `run_limit` into what the broker and the worker's pool act on."""

    def before_publish(self, envelope: Envelope) -> None:
        """Set the deadline and the time limits of a first publish; a retry keeps those it has."""
        if envelope.is_retry:
            return
        given = envelope.options.get("deadline", envelope.plan.deadline)
        # Celery drops options that are None, so a call takes the task's deadline away with 0.
        if given is not None and given != 0 and not envelope.deadline_ms:
            envelope.deadline_ms = deadline_ms(given)
        if envelope.deadline_ms and _policy(envelope) == "expire":
            envelope.header["late"] = "expire"
        _limit_run(envelope)


def _policy(envelope: Envelope) -> str:
    given = envelope.options.get("deadline_policy") or envelope.plan.deadline_policy
    policy = given or config().queue(envelope.queue).deadline_policy
    if policy not in ("run", "expire"):
        raise ConfigurationError(f'deadline_policy is "run" or "expire", not {policy!r}.')
    return policy


def _limit_run(envelope: Envelope) -> None:
    limits = envelope.headers.get("timelimit")
    # Celery's own limits, of the call, the task or the project, are left as they are; so are values that are
    # no limits, for the transport to refuse.
    if not envelope.plan.ours or (limits and (not isinstance(limits, list | tuple) or any(limits))):
        return
    limit = envelope.options.get("run_limit", envelope.plan.run_limit)
    if limit == "queue":
        limit = config().queue(envelope.queue).run_limit
    if limit is not None and limit != 0:
        envelope.headers["timelimit"] = list(_limits(limit))


@lru_cache(maxsize=1_000, typed=True)
def _limits(limit: Any) -> tuple[float, float]:
    soft = _seconds("run_limit", limit)
    return hard_limit(soft), soft


def hard_limit(soft: float) -> float:
    """Return the seconds after which an attempt is killed that did not end at its soft limit `soft`.

    A tenth more, between 1 and 30 seconds: time to clean up, without doubling a short limit's meaning.
    """
    return soft + min(max(soft / 10, 1.0), 30.0)


def deadline_ms(value: Any) -> int:
    """Return the ms since the epoch that a deadline means.

    Args:
        value: seconds from now (number or timedelta), or a datetime; a naive one is UTC, as in Celery's ETA.

    Raises:
        ConfigurationError: it is none of these.
    """
    if isinstance(value, datetime):
        return int(value.replace(tzinfo=value.tzinfo or UTC).timestamp() * 1000)
    if isinstance(value, timedelta):
        value = value.total_seconds()
    return int((time.time() + _seconds("deadline", value)) * 1000)


def _seconds(option: str, value: Any) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or value <= 0
    ):
        raise ConfigurationError(f"{option} is a number of seconds above 0, not {value!r}.")
    return value
