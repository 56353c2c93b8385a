"""All subjects of the API, in the order of the OpenAPI page."""

from __future__ import annotations

from queueops.api import jobs, orgs, queues, resources, stats, system
from queueops.api.routes import Routes

__all__ = ["SUBJECTS"]

SUBJECTS: tuple[Routes, ...] = (
    stats.routes,
    queues.routes,
    jobs.routes,
    orgs.routes,
    resources.routes,
    system.routes,
)
