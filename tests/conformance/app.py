"""The app module of the workers that tests of Celery's suite start by hand."""

from __future__ import annotations

from celery import Celery

import queueops
from tests.conformance import as_user

__all__ = ["app", "as_user"]

app = queueops.install(Celery("conformance", set_as_current=False))
