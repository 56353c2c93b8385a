"""The addresses of queueops: `path("", include("queueops.urls"))`, before those of admin."""

from __future__ import annotations

from importlib.util import find_spec

from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [path("admin/queues/", include("queueops.dashboard.urls"))]

if find_spec("ninja"):
    urlpatterns.append(path("api/v1/admin/queue/", include("queueops.api.urls")))
if find_spec("prometheus_client"):
    urlpatterns.append(path("", include("queueops.metrics.urls")))
