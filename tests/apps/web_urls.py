"""The addresses of `tests.apps.web`."""

from __future__ import annotations

from django.urls import path

from queueops.api import sse

urlpatterns = [path("events", sse.view)]
