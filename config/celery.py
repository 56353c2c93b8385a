"""The Celery application: `celery -A config worker -Q bulk`."""

from __future__ import annotations

import os

from celery import Celery

import queueops

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("config")
app.config_from_object("django.conf:settings", namespace="CELERY")
if hasattr(queueops, "install"):
    queueops.install(app)
app.autodiscover_tasks()
