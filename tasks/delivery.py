"""One delivery: a signed POST to an endpoint, and its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.addresses import check_url
from tasks.answers import failure_of
from tasks.conf import WebhookSettings
from tasks.failures import AddressRefused, InvalidEvent, TemporaryFailure
from tasks.signing import HEADERS, SignatureRefused, sign, verify

if TYPE_CHECKING:
    import httpx

EVENT_HEADER = "webhook-event"
ATTEMPT_HEADER = "webhook-attempt"
USER_AGENT = "queueops-webhooks/1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver answered; *excerpt* is the beginning of its body."""

    status: int
    excerpt: str


def encode(payload: Any) -> bytes:
    """Return the body that is sent for *payload*: compact JSON in ASCII, the same bytes at every attempt.

    Raises InvalidEvent where it is not JSON (NaN and infinities are not).
    """
    try:
        return json.dumps(payload, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError) as exc:
        raise InvalidEvent(f"The payload cannot be written as JSON: {exc}") from exc


def signature_headers(
    secret: str, event_id: str, body: bytes, precomputed: Mapping[str, str] | None, *, max_age: float
) -> dict[str, str]:
    """Return the signature headers for a request that is sent now.

    Precomputed ones are reused while they are younger than *max_age* seconds and right for this body and
    secret. After that a receiver would refuse their timestamp, as it would refuse them after an edited
    payload or a changed secret: then the request is signed anew.

    Raises InvalidEvent where *precomputed* holds a header that is not one of the signature's.
    """
    if precomputed:
        unknown = sorted(set(precomputed) - set(HEADERS))
        if unknown:
            raise InvalidEvent(f"Signature headers are {', '.join(HEADERS)}; not {', '.join(unknown)}.")
        try:
            if verify(secret, precomputed, body, tolerance=max_age) == event_id:
                return dict(precomputed)
        except SignatureRefused:
            pass
    return sign(secret, event_id, body)


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allow_private: bool,
    limits: WebhookSettings,
) -> Answer:
    """POST *body* to *url* once and return the answer of a receiver that took it.

    The connection goes to a checked address, follows no redirect and uses no proxy; nothing of the answer
    is read beyond what the excerpt needs.

    Raises TemporaryFailure or PermanentFailure by :mod:`tasks.answers`, AddressRefused for a forbidden
    address.
    """
    # Imported here: it takes as long as all of queueops, and each command of manage.py would wait for it.
    import httpx

    from tasks.connection import CheckedTransport, Deadline

    check_url(url, allow_private=allow_private)
    deadline = Deadline(limits.total_timeout)
    timeout = httpx.Timeout(limits.read_timeout, connect=limits.connect_timeout)
    try:
        with (
            httpx.Client(
                transport=CheckedTransport(deadline, allow_private=allow_private),
                timeout=timeout,
                trust_env=False,
            ) as client,
            client.stream("POST", url, content=body, headers=_request_headers(headers)) as response,
        ):
            excerpt = _excerpt(response, limits.excerpt_chars)
    except (httpx.TransportError, OSError) as exc:
        raise TemporaryFailure(f"No answer: {type(exc).__name__}: {exc}") from exc
    except httpx.InvalidURL as exc:
        raise AddressRefused(f"The URL cannot be used: {exc}") from exc
    failure = failure_of(
        response.status_code, response.headers, excerpt, retry_after_limit=limits.retry_after_limit
    )
    if failure is not None:
        raise failure
    return Answer(response.status_code, excerpt)


def _request_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        # No compression: the excerpt is cut from the raw bytes, and a small answer cannot unfold into a
        # large one.
        "accept-encoding": "identity",
        "connection": "close",
        **headers,
    }


def _excerpt(response: httpx.Response, chars: int) -> str:
    """The first characters of the body. Four bytes hold any character of UTF-8."""
    import httpx

    kept = bytearray()
    try:
        for piece in response.iter_raw(4_096):
            kept += piece
            if len(kept) >= 4 * chars:
                break
    except (httpx.TransportError, OSError):
        # The status is here and it decides; an answer that breaks off has a shorter excerpt.
        pass
    text = bytes(kept[: 4 * chars]).decode("utf-8", errors="replace")
    # PostgreSQL keeps no NUL in text.
    return text.replace("\x00", "�")[:chars]
