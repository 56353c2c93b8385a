"""What a receiver's answer means for the job: done, again later, or never.

=============================  =============================================================================
200 to 299                     delivered
408, 409, 423, 425, 429, 5xx,  temporary: they speak about the moment. Retried by the queue's policy, not
no answer at all               before the answer's ``Retry-After``
3xx                            permanent: a redirect is not followed, since its target was never agreed to;
                               the endpoint's URL has to be changed
every other 4xx                permanent: 400, 401, 403, 404, 405, 410, 413, 422 ... say that this request
                               is wrong, and the next one would be the same
=============================  =============================================================================

A permanent answer becomes a dead letter at once, where someone sees it; replay sends it when the receiver
is mended.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from tasks.failures import DeliveryFailed, PermanentFailure, TemporaryFailure

#: The answers below 500 that another attempt may change: timeout, conflict, locked, too early, too many
#: requests.
TEMPORARY_STATUSES = frozenset({408, 409, 423, 425, 429})


def is_success(status: int) -> bool:
    """Whether the receiver took the event."""
    return 200 <= status <= 299


def is_temporary(status: int) -> bool:
    """Whether the same request may be accepted later."""
    return status >= 500 or status in TEMPORARY_STATUSES


def retry_after_seconds(value: str | None, *, now: float | None = None, limit: float) -> float | None:
    """Read a ``Retry-After`` header: a number of seconds or an HTTP date.

    Returns seconds from *now* (Unix time; None is the clock), at least 0 and at most *limit*; None where
    the header is absent or says nothing that can be read.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdecimal():
        # Beyond 12 digits the number would overflow a float or a date; it is past any limit anyway.
        return limit if len(text) > 12 else min(float(text), limit)
    try:
        at = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    seconds = at - (time.time() if now is None else now)
    return min(max(0.0, seconds), limit) if math.isfinite(seconds) else None


def failure_of(
    status: int, headers: Mapping[str, str], excerpt: str, *, retry_after_limit: float
) -> DeliveryFailed | None:
    """Return the exception that an answer stands for, None for a success.

    *retry_after_limit* is in seconds. The exception carries status, excerpt and, where temporary,
    ``retry_after``.
    """
    if is_success(status):
        return None
    failure: DeliveryFailed
    if is_temporary(status):
        failure = TemporaryFailure(f"The receiver answered {status}; the event will be tried again.")
        failure.retry_after = retry_after_seconds(headers.get("retry-after"), limit=retry_after_limit)
    else:
        failure = PermanentFailure(
            f"The receiver answered {status}; the same request would get the same answer."
        )
    failure.status = status
    failure.excerpt = excerpt
    return failure
