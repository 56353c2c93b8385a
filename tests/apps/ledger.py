"""A plain Celery app, without Django, with queueops installed: what a worker of the tests runs."""

from __future__ import annotations

import json
import os
from typing import Any

from celery import Celery
from celery.signals import worker_ready
from django.conf import settings

import queueops

# Imported for its shared tasks: every app that is finalised later has them.
from tests.apps import tasks


def make_app(broker_url: str, **conf: Any) -> Celery:
    """Return an app with the ledger's tasks on ``broker_url``; ``conf`` holds Celery settings."""
    app = Celery("ledger", set_as_current=False)
    app.conf.update(
        broker_url=broker_url, task_ignore_result=True, broker_connection_retry_on_startup=True, **conf
    )
    return queueops.install(app)


def announce_ready(**_: object) -> None:
    """Tell the test that this worker consumes."""
    tasks.ledger().announce(f"ready:{os.environ['LEDGER_WORKER']}")


# Only a worker has the ledger in its environment; a test that imports this makes apps of its own.
if "LEDGER_URL" in os.environ:
    if "LEDGER_SETTINGS" in os.environ:
        settings.configure(QUEUEOPS=json.loads(os.environ["LEDGER_SETTINGS"]))
    worker_ready.connect(announce_ready)
    app = make_app(os.environ["QUEUEOPS_BROKER_URL"], **json.loads(os.environ.get("LEDGER_CONF", "{}")))
    app.set_current()
    app.set_default()
