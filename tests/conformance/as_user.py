"""A pytest plugin that runs Celery's suite as a project with queueops.

Upstream's fixtures build their apps from ``TestApp``; each one is installed right after its creation, exactly
where a project calls ``queueops.install(app)``.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.contrib.testing import app as testing
from django.conf import settings
from t.integration import django_settings as upstream

import queueops
import queueops.transport

#: What a project writes that wants Celery's own behaviour: its one queue, and none of what queueops adds to a
#: plain task (attempts, a run limit, a limit on size, which upstream's largest message of 330 kB would pass).
QUEUEOPS = {
    "QUEUES": {"celery": {"run_limit": None}, "critical": None, "standard": None, "bulk": None},
    "DEFAULT_QUEUE": "celery",
    "RETRY_POLICIES": {"celery": {"attempts": 1}},
    "MAX_PAYLOAD_BYTES": 2**20,
}

# Upstream's Django tests read these settings too.
settings.configure(
    **{name: value for name, value in vars(upstream).items() if name.isupper()},
    QUEUEOPS=QUEUEOPS,
)
queueops.transport.register()

_create = testing.TestApp


def installed_app(*args: Any, **kwargs: Any) -> Celery:
    """Create one of Celery's apps for tests, with queueops installed."""
    return queueops.install(_create(*args, **kwargs))


# The fixtures import the name when they run, so that this replaces it in all of them.
testing.TestApp = installed_app
