"""The Celery application: `celery -A config worker -Q bulk`."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery

import queueops

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# `celery -A config flower` must not start open because somebody forgot --conf.
os.environ.setdefault("FLOWER_CONF", str(Path(__file__).with_name("flower.py")))

app = Celery("config")
app.config_from_object("django.conf:settings", namespace="CELERY")
queueops.install(app)
app.autodiscover_tasks()
