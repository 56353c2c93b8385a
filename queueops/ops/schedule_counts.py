"""How many schedules there are, whether somebody sends them, and when each was due last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.apps import apps
from django.db.models import Count

from queueops.engine.store import Store

__all__ = ["Schedules", "schedules"]

#: Schedules whose due times are told at most.
MOST = 100


@dataclass(frozen=True, slots=True)
class Schedules:
    """The schedules.

    Attributes:
        enabled, disabled: rows of django-celery-beat.
        led: some beat holds the lease to send.
        due_ms: of its latest job, by schedule; of the 100 first by name.
    """

    enabled: int
    disabled: int
    led: bool
    due_ms: Mapping[str, int]


def schedules(store: Store) -> Schedules | None:
    """Look at the schedules; None without django-celery-beat."""
    if not apps.is_installed("django_celery_beat"):
        return None
    model = apps.get_model("django_celery_beat", "PeriodicTask")
    counts = dict(model._default_manager.order_by().values_list("enabled").annotate(Count("id")))
    due = store.due_times()
    return Schedules(
        enabled=counts.get(True, 0),
        disabled=counts.get(False, 0),
        led=store.is_led("beat"),
        due_ms={name: due[name] for name in sorted(due)[:MOST]},
    )
