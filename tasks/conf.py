"""The settings of webhooks: the Django setting ``WEBHOOKS``, a dict of the names below in upper case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """How deliveries are made; every value has a default that suits production."""

    connect_timeout: float = 5.0
    """Seconds to resolve the name, and again to connect to one of its addresses."""

    read_timeout: float = 10.0
    """Seconds without a byte in either direction."""

    total_timeout: float = 30.0
    """Seconds from the first look-up to the last byte: a receiver that drips its answer ends here."""

    retry_after_limit: float = 86_400.0
    """Seconds; a longer ``Retry-After`` is cut to this: no receiver can park a job for a year."""

    excerpt_chars: int = 1_000
    """Characters of the answer's body that are kept with the delivery."""

    signature_max_age: float = 120.0
    """Seconds after which precomputed signature headers are signed anew; receivers refuse after 300."""

    delivery_retention_days: float = 30.0
    """Days after its last attempt at which the record of a delivery is deleted."""

    endpoint_rate: str | None = None
    """Deliveries to one endpoint that start, as ``"10/s"`` or ``"100/m"``; None is no limit."""

    endpoint_max_in_flight: int | None = 10
    """Deliveries to one endpoint at once, so that a slow one does not take all slots; None is no limit."""

    endpoint_breaker: Mapping[str, Any] | None = field(
        default_factory=lambda: MappingProxyType({"min_calls": 10, "probes": 1})
    )
    """When deliveries to one endpoint are held because they fail, see docs/resources.md; None is never."""


def webhook_settings() -> WebhookSettings:
    """Read ``settings.WEBHOOKS`` now, so that a test's ``override_settings`` acts at once.

    Raises ImproperlyConfigured for a name that does not exist.
    """
    given: dict[str, object] = getattr(settings, "WEBHOOKS", {})
    known = {one.name.upper(): one.name for one in fields(WebhookSettings)}
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ImproperlyConfigured(f"WEBHOOKS has unknown names {unknown}; known are {sorted(known)}.")
    return WebhookSettings(**{known[name]: value for name, value in given.items()})  # type: ignore[arg-type]


def private_addresses_allowed() -> bool:
    """Whether ``QUEUEOPS["ALLOW_PRIVATE_ADDRESSES"]`` opens private networks for every endpoint."""
    from queueops.conf import config

    return bool(config().allow_private_addresses)
