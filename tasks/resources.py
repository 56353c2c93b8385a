"""Each endpoint is a resource of its own: one that is slow or broken holds its own jobs and no others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, post_save

from queueops.engine.rules.gates import rate
from queueops.middleware import resources
from queueops.ops import resource_limits
from tasks.conf import webhook_settings
from tasks.models import Endpoint

__all__ = ["limits", "of_endpoint", "of_job", "register"]

_PREFIX = "webhook."


def of_endpoint(endpoint_id: int) -> str:
    """Return the name of an endpoint's resource."""
    return f"{_PREFIX}{endpoint_id}"


def of_job(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return the resource of a delivery: its endpoint's."""
    endpoint_id = kwargs["endpoint_id"] if "endpoint_id" in kwargs else args[0]
    return of_endpoint(int(endpoint_id))


def limits(names: Collection[str] | None = None) -> dict[str, Mapping[str, Any]]:
    """Return the limits of the endpoints with these resources, or of all: their own over ``WEBHOOKS``."""
    settings = webhook_settings()
    common: dict[str, Any] = {"max_in_flight": settings.endpoint_max_in_flight}
    if settings.endpoint_rate is not None:
        common["rate"] = rate(settings.endpoint_rate)
    if settings.endpoint_breaker:
        common |= {"breaker": True, **settings.endpoint_breaker}
    endpoints = Endpoint.objects.values_list("pk", "rate", "max_in_flight")
    if names is not None:
        endpoints = endpoints.filter(pk__in=_ids(names))
    found: dict[str, Mapping[str, Any]] = {}
    for pk, own_rate, own_cap in endpoints:
        own = {"rate": rate(own_rate)} if own_rate else {}
        if own_cap is not None:
            own["max_in_flight"] = own_cap
        found[of_endpoint(pk)] = common | own
    return found


def _ids(names: Collection[str]) -> list[int]:
    numbers = (name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX))
    return [int(number) for number in numbers if number.isascii() and number.isdecimal() and len(number) < 19]


def register() -> None:
    """Have endpoints limited, and each that is saved or deleted published."""
    resources.register("webhook endpoints", limits)
    post_save.connect(_publish, sender=Endpoint, dispatch_uid="tasks.endpoints.saved")
    post_delete.connect(_publish, sender=Endpoint, dispatch_uid="tasks.endpoints.deleted")


def _publish(instance: Endpoint, using: str | None = None, raw: bool = False, **_: Any) -> None:
    if not raw:
        # The primary key is gone from a deleted instance by the time of the commit.
        name = of_endpoint(instance.pk)
        transaction.on_commit(partial(resource_limits.publish_soon, [name]), using=using)
