from __future__ import annotations

from django.apps import AppConfig


class TasksConfig(AppConfig):
    """Webhook endpoints, their deliveries, and the tasks that run on queueops."""

    name = "tasks"
    verbose_name = "Webhooks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the tasks (Celery itself looks only for a module ``tasks``) and their resources."""
        from tasks import maintenance, resources, webhooks  # noqa: F401

        resources.register()
