"""The dashboard's addresses: `path("admin/queues/", include("queueops.dashboard.urls"))`."""

from __future__ import annotations

from django.urls import path

from queueops.api import sse
from queueops.dashboard import (
    admin_link,
    audit,
    doctor,
    job_actions,
    jobs,
    letter_actions,
    letters,
    org_actions,
    orgs,
    overview,
    queue,
    queue_actions,
    resources,
    schedules,
    workers,
)
from queueops.dashboard.actions import do
from queueops.dashboard.page import NAMESPACE

__all__ = ["app_name", "job_actions", "letter_actions", "org_actions", "queue_actions", "urlpatterns"]

app_name = NAMESPACE

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("queue/<path:name>/", queue.queue, name="queue"),
    path("jobs/", jobs.job_list, name="jobs"),
    path("jobs/stuck/", jobs.stuck, name="stuck"),
    path("jobs/find/", jobs.find, name="find"),
    path("job/<path:task_id>/", jobs.job, name="job"),
    path("letters/", letters.letters, name="letters"),
    path("orgs/", orgs.org_list, name="orgs"),
    path("org/<str:name>/", orgs.org, name="org"),
    path("resources/", resources.resource_list, name="resources"),
    path("resource/<str:name>/", resources.resource, name="resource"),
    path("workers/", workers.workers, name="workers"),
    path("schedules/", schedules.schedules, name="schedules"),
    path("audit/", audit.audit, name="audit"),
    path("doctor/", doctor.doctor, name="doctor"),
    path("events/", sse.view, name="events"),
    path("do/<slug:name>/", do, name="do"),
]

admin_link.install()
