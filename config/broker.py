"""Which broker the project talks to."""

from __future__ import annotations

import environ

DEFAULT_PORT = 6390  # not 6379: a Redis that is already installed keeps its port

# Addresses that hosts hand out name the server; ours name the transport. What follows the scheme stays as it is.
SCHEMES = {
    "redis": "queueops",
    "rediss": "queueopss",
    "valkey": "queueops",
    "valkeys": "queueopss",
}


def broker_url(env: environ.Env) -> str:
    """The broker's URL: QUEUEOPS_BROKER_URL, else REDIS_URL, else the embedded server on BROKER_PORT."""
    named = env.str("QUEUEOPS_BROKER_URL", default="") or env.str("REDIS_URL", default="")
    if named:
        return translate(named)
    return f"queueops://127.0.0.1:{env.int('BROKER_PORT', default=DEFAULT_PORT)}/0"


def translate(url: str) -> str:
    """The same address with the queueops scheme; URLs of other schemes are left alone."""
    scheme, separator, rest = url.partition("://")
    return f"{SCHEMES.get(scheme, scheme)}{separator}{rest}"
