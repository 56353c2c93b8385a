"""Metrics for Prometheus: `/metrics` (`queueops.metrics.urls`), and a server of its own (`serve`)."""
