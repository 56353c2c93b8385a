"""All subjects of the API, in the order of the OpenAPI page."""

from __future__ import annotations

from queueops.api import jobs, letters, orgs, queues, resources, schedules, stats, system, workers
from queueops.api.routes import Routes

__all__ = ["SUBJECTS"]

SUBJECTS: tuple[Routes, ...] = (
    stats.routes,
    queues.routes,
    jobs.routes,
    letters.routes,
    workers.routes,
    orgs.routes,
    resources.routes,
    schedules.routes,
    system.routes,
)
