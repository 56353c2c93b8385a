"""Signatures of webhooks as the Standard Webhooks specification has them: receivers find a library for it.

Three headers go with every delivery:

=====================  =====================================================================================
``webhook-id``         the event's id, the same at every attempt: receivers drop a repeated delivery by it
``webhook-timestamp``  Unix time of the signature, in seconds: receivers refuse one too old or too new
``webhook-signature``  ``v1,`` and the base64 HMAC-SHA256 of ``{id}.{timestamp}.{body}``; several are
                       separated by a space, and one that is right is enough
=====================  =====================================================================================

The key is the base64 part of the endpoint's secret ``whsec_...``. A receiver in Python calls :func:`verify`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"
HEADERS = (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)

SECRET_PREFIX = "whsec_"
KEY_BYTES = 32
MIN_KEY_BYTES = 24
TOLERANCE_SECONDS = 300


class SignatureRefused(ValueError):
    """The request was not signed with this secret, or not now."""


def new_secret() -> str:
    """Return a random secret of 32 bytes in the form ``whsec_<base64>``."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """Return the HMAC key inside *secret*.

    Raises ValueError where it is not ``whsec_`` and the base64 of at least 24 bytes.
    """
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError(f"A webhook secret begins with {SECRET_PREFIX}")
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as exc:
        raise ValueError(f"A webhook secret is base64 after {SECRET_PREFIX}") from exc
    if len(key) < MIN_KEY_BYTES:
        raise ValueError(f"A webhook secret holds at least {MIN_KEY_BYTES} bytes, this one {len(key)}")
    return key


def sign(secret: str, event_id: str, body: bytes, *, at: float | None = None) -> dict[str, str]:
    """Return the three signature headers for *body*, signed at Unix time *at* (seconds; None is now)."""
    timestamp = str(int(time.time() if at is None else at))
    return {
        ID_HEADER: event_id,
        TIMESTAMP_HEADER: timestamp,
        SIGNATURE_HEADER: _signature(key_of(secret), event_id, timestamp, body),
    }


def verify(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float | None = None,
    tolerance: float = TOLERANCE_SECONDS,
) -> str:
    """Check a received request and return its event id.

    *headers* may have any case; *now* is Unix time in seconds (None is the clock), *tolerance* the seconds
    by which the signature's time may differ from it. Signatures are compared in constant time.

    Raises SignatureRefused: a header is missing, the time is outside the tolerance, or no signature is right.
    """
    given = {name.lower(): value for name, value in headers.items()}
    missing = [name for name in HEADERS if not given.get(name)]
    if missing:
        raise SignatureRefused(f"Missing headers: {', '.join(missing)}")
    event_id, timestamp, signatures = (given[name] for name in HEADERS)
    # isdecimal() and ASCII first: int() also takes "+1", "1_0" and other scripts' digits, which were never
    # signed.
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        raise SignatureRefused("The timestamp is not a Unix time in seconds")
    if abs((time.time() if now is None else now) - int(timestamp)) > tolerance:
        raise SignatureRefused(f"The timestamp is more than {tolerance:g} s away")
    expected = _signature(key_of(secret), event_id, timestamp, body).encode()
    # Every candidate is compared, none is left early, so timing tells nothing about which one was close.
    matches = [hmac.compare_digest(expected, candidate.encode()) for candidate in signatures.split(" ")]
    if not any(matches):
        raise SignatureRefused("No signature matches")
    return event_id


def _signature(key: bytes, event_id: str, timestamp: str, body: bytes) -> str:
    signed = event_id.encode() + b"." + timestamp.encode() + b"." + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
