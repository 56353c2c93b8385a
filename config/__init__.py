"""The project that runs queueops: settings, addresses, the Celery application.

The application is imported here so that `shared_task` finds it in every process that knows the settings.
"""

from __future__ import annotations

from config.celery import app as celery_app

__all__ = ["celery_app"]
