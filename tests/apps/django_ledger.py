"""The ledger's tasks in a Django project: results and dead letters go to its database."""

from __future__ import annotations

import os

import django
from celery import Celery
from celery.signals import worker_ready

import queueops

# Imported for its shared tasks.
from tests.apps import tasks

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.apps.settings")
django.setup()

app = Celery("django_ledger")
app.config_from_object("django.conf:settings", namespace="CELERY")
queueops.install(app)


@worker_ready.connect
def announce_ready(**_: object) -> None:
    """Tell the test that this worker consumes."""
    tasks.ledger().announce(f"ready:{os.environ['LEDGER_WORKER']}")
