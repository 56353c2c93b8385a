"""Who may read the metrics.

With a token (QUEUEOPS["METRICS_TOKEN"], or QUEUEOPS_METRICS_TOKEN in the environment): who brings it as
`Authorization: Bearer`. Without one: whoever asks from this machine, and anybody under DEBUG. Staff with a
session and the permission to see operations may read them in any case.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping

from django.conf import settings

from queueops.conf import config

__all__ = ["is_loopback", "is_open_to"]

#: A proxy on this machine says by one of these that it asks for somebody else.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


def is_open_to(address: str, headers: Mapping[str, str]) -> bool:
    """Return whether a request may read the metrics without being anybody.

    Args:
        address: where it came from.
        headers: by name in lower case.
    """
    token = config().metrics_token
    if token is not None:
        given = headers.get("authorization", "")
        return hmac.compare_digest(given.encode("utf-8", "replace"), f"Bearer {token}".encode())
    if settings.DEBUG:
        return True
    return is_loopback(address) and not any(name in headers for name in _FORWARDED)


def is_loopback(address: str) -> bool:
    """Return whether an address (or a name) is this machine's own."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
