"""The jobs that wait or run, and the page of one job."""

from __future__ import annotations

from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import NoReverseMatch, reverse

from queueops.conf import config
from queueops.dashboard.page import NAMESPACE, Page, guarded, page
from queueops.dashboard.timeline import timeline
from queueops.engine.rules.states import JobState
from queueops.errors import UnknownJob
from queueops.models import DeadLetter
from queueops.ops import jobs, leases
from queueops.ops.permissions import VIEW_LETTERS, Actor

__all__ = ["find", "job", "job_list", "stuck"]

_WAITING = (JobState.READY, JobState.SCHEDULED, JobState.BLOCKED, JobState.LEASED)
#: A table that a person reads through.
_ROWS = 50


class Filters(forms.Form):
    """Which jobs; an empty field is any."""

    queue = forms.ChoiceField(required=False)
    state = forms.ChoiceField(
        required=False, choices=[("", "any state"), *((state.value, state.value) for state in _WAITING)]
    )
    org = forms.CharField(required=False, max_length=128)
    task = forms.CharField(required=False, max_length=255, label="Task's whole name")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        queue = self.fields["queue"]
        assert isinstance(queue, forms.ChoiceField)
        asked = str(self.data.get("queue") or "")
        names = sorted({*config().queues, *([asked] if asked else [])})
        queue.choices = [("", "any queue"), *((name, name) for name in names)]


def _job_list(request: HttpRequest, actor: Actor) -> Page:
    filters = Filters(request.GET)
    given = filters.cleaned_data if filters.is_valid() else {}
    listing = jobs.listed(actor, limit=_ROWS, after=request.GET.get("after") or "0", **given)
    said = {name: value for name, value in given.items() if value}
    following = urlencode({**said, "after": listing.after}) if listing.after else ""
    context = {"filters": filters, "listing": listing, "following": following, "said": said}
    # A page further down is a place in a walk; asked again it would show other jobs.
    return Page("jobs.html", "Jobs", context, "jobs", live="after" not in request.GET)


def _stuck(request: HttpRequest, actor: Actor) -> Page:
    found = leases.stuck(actor, minutes=_minutes(request), queue=request.GET.get("queue", ""))
    crumbs = (("Jobs", reverse(f"{NAMESPACE}:jobs")),)
    return Page("stuck.html", "Stuck jobs", {"stuck": found, "minutes": _minutes(request)}, "jobs", crumbs)


def _minutes(request: HttpRequest) -> float:
    try:
        return min(max(float(request.GET.get("minutes", "10")), 0.0), 1e6)
    except ValueError:
        return 10.0


def _job(request: HttpRequest, actor: Actor, *, task_id: str) -> Page:
    info = jobs.info(actor, task_id)
    explained = None
    if info.source == "broker":
        try:
            explained = jobs.explain(actor, task_id)
        except UnknownJob:
            info = jobs.info(actor, task_id)  # it ended between the two looks
    letter = None
    if info.letter is not None and actor.may(VIEW_LETTERS):
        letter = DeadLetter.objects.get(pk=info.letter)
    context = {"job": info, "explained": explained, "events": timeline(info), "letter": letter}
    crumbs = (("Jobs", reverse(f"{NAMESPACE}:jobs")),)
    living = info.source == "broker"
    return Page(
        "job.html", info.task or "Job", context, "jobs", crumbs, live=living, follows={"task_id": task_id}
    )


def _find(request: HttpRequest) -> HttpResponseBase:
    """From the field "go to a job" to its page."""
    wanted = request.GET.get("id", "").strip()
    try:
        path = (
            reverse(f"{NAMESPACE}:job", kwargs={"task_id": wanted})
            if wanted
            else reverse(f"{NAMESPACE}:jobs")
        )
    except NoReverseMatch:  # no address can hold it, so no job has it
        return _unknown(request, task_id=wanted)
    return HttpResponseRedirect(path)


def _nobody(request: HttpRequest, actor: Actor, *, task_id: str) -> Page:
    raise UnknownJob(task_id)


job_list, stuck, job, _unknown = page(_job_list), page(_stuck), page(_job), page(_nobody)
find = guarded(_find)
