"""`/metrics`, without a slash at its end, where Prometheus looks for it."""

from __future__ import annotations

from django.urls import path

from queueops.metrics.views import metrics

app_name = "queueops-metrics"
urlpatterns = [path("metrics", metrics, name="metrics")]
