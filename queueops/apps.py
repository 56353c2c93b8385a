"""Django's entry: wires checks and signals, does nothing else."""

from __future__ import annotations

from django.apps import AppConfig


class QueueOpsConfig(AppConfig):
    """The app `queueops`."""

    name = "queueops"
    verbose_name = "Queue operations"
    default_auto_field = "django.db.models.BigAutoField"
