"""The app of the soak's workers: a Django project with queueops, or stock Celery for comparison."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import worker_ready

# Imported for its shared tasks.
from tests.soak import tasks
from tests.soak.terms import ARM, LEASE_SECONDS, STOCK


def stock_app(broker_url: str) -> Celery:
    """Stock Celery with its defaults, acknowledging after the run as queueops has it."""
    app = Celery("soak")
    app.conf.update(
        broker_url=broker_url,
        task_acks_late=True,
        task_ignore_result=True,
        task_default_queue="standard",
        broker_connection_retry_on_startup=True,
        broker_transport_options={"visibility_timeout": LEASE_SECONDS},
    )
    return app


if "LEDGER_WORKER" in os.environ:
    if os.environ.get(ARM) == STOCK:
        app = stock_app(os.environ["QUEUEOPS_BROKER_URL"])

        @worker_ready.connect
        def announce_ready(**_: object) -> None:
            """Tell the soak that this worker consumes."""
            tasks.ledger().announce(f"ready:{os.environ['LEDGER_WORKER']}")
    else:
        from tests.apps.django_ledger import app as project_app

        app = project_app
