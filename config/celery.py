"""The Celery application: `celery -A config worker -Q bulk`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import django
from celery import Celery
from django.apps import apps

import queueops

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# `celery -A config flower` must not start open because somebody forgot --conf.
os.environ.setdefault("FLOWER_CONF", str(Path(__file__).with_name("flower.py")))

app = Celery("config")
app.config_from_object("django.conf:settings", namespace="CELERY")
queueops.install(app)
app.autodiscover_tasks()


@app.on_after_configure.connect
def load_models(**_: Any) -> None:
    """Load the apps for commands like `celery -A config call` too; Celery itself does it for workers only."""
    if not apps.ready and not apps.loading:
        django.setup()
