"""Django's entry: wires the checks, does nothing else."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class QueueOpsConfig(AppConfig):
    """The app `queueops`."""

    name = "queueops"
    verbose_name = "Queue operations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks, what a saved limit sets off, and what workers do for the database; put
        the process's logs into the form that the settings ask for.
        """
        import_module("queueops.checks")
        import_module("queueops.ops.chores").register()
        import_module("queueops.middleware.json_log").apply()
