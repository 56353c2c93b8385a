"""kombu transports on the engine. :func:`register` makes the URL schemes known; it must run before the
first connection.
"""

from __future__ import annotations

import kombu.connection
import kombu.transport

#: URL scheme -> transport class, and the stock scheme that Flower, ``inspect`` and the banner show for it.
SCHEMES = {
    "queueops": ("queueops.transport.transport:Transport", "redis"),
    "queueopss": ("queueops.transport.transport:TLSTransport", "rediss"),
    "queueops-sentinel": ("queueops.transport.transport:SentinelTransport", "sentinel"),
    "queueopss-sentinel": ("queueops.transport.transport:SentinelTLSTransport", "sentinel"),
}


def register() -> None:
    """Make the URL schemes known to kombu.

    An alias, not ``broker_transport=``: kombu derives the transport from the URL again when it fails over,
    and would silently go on with stock Redis.
    """
    for scheme, (path, shown) in SCHEMES.items():
        kombu.transport.TRANSPORT_ALIASES[scheme] = path
        kombu.connection.resolve_aliases[scheme] = shown
