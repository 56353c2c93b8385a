"""A user's project for Celery's suite: a pytest plugin, and the app module of the workers its tests start.

Upstream's fixtures build their apps from ``TestApp``; each one is installed right after its creation, exactly
where a project calls ``queueops.install(app)``.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.contrib.testing import app as testing

import queueops
import queueops.transport

queueops.transport.register()


class InstalledApp(testing.TestApp):
    """Celery's app for tests with queueops installed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        queueops.install(self)


# The fixtures import the name when they run, so that this replaces it in all of them.
testing.TestApp = InstalledApp

if "APP" in os.environ:
    app = Celery("as_user", set_as_current=False)
    queueops.install(app)
