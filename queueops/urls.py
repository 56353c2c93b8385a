"""The addresses of queueops: `path("", include("queueops.urls"))`, before those of admin."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
