"""Which broker the project talks to."""

from __future__ import annotations

import environ

from deploy.local.ports import HOST, port

# Addresses that hosts hand out name the server; ours name the transport. The rest of the URL stays as it is.
SCHEMES = {
    "redis": "queueops",
    "rediss": "queueopss",
    "valkey": "queueops",
    "valkeys": "queueopss",
    "sentinel": "queueops-sentinel",
}


def external_url(env: environ.Env) -> str:
    """What QUEUEOPS_BROKER_URL, else REDIS_URL, names; "" when the embedded broker is meant."""
    return translate(env.str("QUEUEOPS_BROKER_URL", default="") or env.str("REDIS_URL", default=""))


def broker_url(env: environ.Env) -> str:
    """The broker's URL: the external one, else the embedded server of the local stack."""
    return external_url(env) or f"queueops://{HOST}:{port('BROKER_PORT')}/0"


def translate(url: str) -> str:
    """The same address with the queueops scheme; URLs of other schemes are left alone."""
    scheme, separator, rest = url.partition("://")
    return f"{SCHEMES.get(scheme, scheme)}{separator}{rest}"
