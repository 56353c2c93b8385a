"""Alerts where no worker may be left to look: a thread of each web process, from its first request on."""

from __future__ import annotations

import logging
import os
import socket
import threading
from typing import Any

from celery import Celery, current_app
from django.core.signals import request_started

from queueops.conf import config
from queueops.errors import BrokerUnavailable
from queueops.ops import alerts, broker
from queueops.ops.connections import released

__all__ = ["register", "turn", "watch"]

logger = logging.getLogger("queueops.alerts")

_ID = "queueops.alerts"
#: The lock outlives a look that hangs, not by much; between two looks it keeps the others from looking too.
_LOCK_MS = int(alerts.SECONDS * 900)


def register() -> None:
    """Have a process that serves requests look, too. Commands and workers begin no thread by this."""
    request_started.connect(_begin, weak=False, dispatch_uid=_ID)


def _begin(**_: Any) -> None:
    request_started.disconnect(dispatch_uid=_ID)
    # The process lives on when the settings change, the thread does not begin: a web process is restarted.
    if config().alerts.are_on:
        app = current_app._get_current_object()
        threading.Thread(target=watch, args=(app,), name="queueops-alerts", daemon=True).start()


def watch(app: Celery, stop: threading.Event | None = None) -> None:
    """Look every `alerts.SECONDS` until `stop` is set, for a process that does nothing else, or a thread."""
    app.set_current()
    over, failed = stop or threading.Event(), ""
    while not over.is_set():
        try:
            turn()
            failed = ""
        except Exception as error:
            # Once: a database that is away for an hour would fill the log.
            if failed != type(error).__name__:
                failed = type(error).__name__
                logger.exception("Alerts cannot be looked at; it is tried every %g s", alerts.SECONDS)
        over.wait(alerts.SECONDS)


def turn() -> bool:
    """Look, unless another process does; returns whether this one did."""
    with released():
        try:
            with broker.store() as store:
                lock, name = store.key("lock", name=alerts.LOCK), f"{socket.gethostname()}:{os.getpid()}"
                if not store.client.set(lock, name, nx=True, px=_LOCK_MS):
                    return False
        except BrokerUnavailable:
            pass  # nobody can take the lock; the rows keep it to one notice
        alerts.look()
    return True
