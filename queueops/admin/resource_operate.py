"""The pages on which a person confirms panic, pause and their ends, and sees first what they would hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from queueops.errors import ConfigurationError, QueueOpsError
from queueops.models import AuditEntry, Resource
from queueops.ops import panic, permissions, resources
from queueops.ops.panic import Held
from queueops.ops.permissions import Actor

if TYPE_CHECKING:
    Base = ModelAdmin[Resource]
else:
    Base = object

__all__ = ["VERBS", "OperateMixin"]

#: Resources that one confirmation may name.
_MOST = 50


@dataclass(frozen=True, slots=True)
class Verb:
    """How a verb is offered. `closes`: it holds jobs, so that it asks how long and why."""

    name: str
    label: str
    permission: str
    past: str
    explained: str
    closes: bool = False


VERBS = {
    verb.name: verb
    for verb in (
        Verb(
            "panic",
            "Panic",
            permissions.PANIC,
            "put into panic mode",
            "Its breaker opens: no job that uses it starts, what runs goes on, and no waiting job loses an "
            "attempt. After the time a few probes go through, and it closes when they succeed.",
            closes=True,
        ),
        Verb(
            "panic_off",
            "End panic",
            permissions.PANIC,
            "taken out of panic mode",
            "Its breaker closes at once, and the jobs that wait go on.",
        ),
        Verb(
            "pause",
            "Pause",
            permissions.PAUSE_RESOURCE,
            "paused",
            "No job that uses it starts; what runs goes on. After the time all of them go on at once.",
            closes=True,
        ),
        Verb("resume", "Resume", permissions.PAUSE_RESOURCE, "resumed", "The jobs that wait go on."),
    )
}


class HowLong(forms.Form):
    """How long, and why."""

    minutes = forms.FloatField(
        required=False, min_value=0.1, max_value=7 * 1440, help_text="Empty: until ended by hand."
    )
    reason = forms.CharField(required=False, max_length=255)


class OperateMixin(Base):
    """Views of ResourceAdmin; `operate_view` is at <list>/operate/<verb>/?name=..."""

    def operate_view(self, request: HttpRequest, verb: str) -> HttpResponse:
        """Ask (GET), then act (POST)."""
        if verb not in VERBS:
            raise Http404(f"There is no verb {verb}.")
        actor = Actor.of(request.user, AuditEntry.Surface.ADMIN)
        actor.require(VERBS[verb].permission)
        names = (request.POST if request.method == "POST" else request.GET).getlist("name")
        if not names or len(names) > _MOST:
            raise BadRequest(f"name must name 1 to {_MOST} resources")
        form = HowLong(request.POST if request.method == "POST" else None)
        try:
            if request.method == "POST" and form.is_valid():
                return self._act(request, actor, VERBS[verb], names, form)
            held = [panic.dry_run(actor, name) for name in names] if VERBS[verb].closes else []
        except (QueueOpsError, ConfigurationError) as error:
            messages.error(request, str(error))
            return self._back()
        return self._ask(request, VERBS[verb], names, form, held)

    def _ask(
        self, request: HttpRequest, verb: Verb, names: list[str], form: HowLong, held: list[Held]
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "title": f"{verb.label}: {', '.join(names)}",
            "verb": verb,
            "names": names,
            "form": form if verb.closes else None,
            "held": held,
            "back": self._back().headers["Location"],
        }
        return TemplateResponse(request, "admin/queueops/resource/operate.html", context)

    def _act(
        self, request: HttpRequest, actor: Actor, verb: Verb, names: list[str], form: HowLong
    ) -> HttpResponse:
        minutes, reason = form.cleaned_data["minutes"], form.cleaned_data["reason"]
        until = timezone.now() + timedelta(minutes=minutes) if minutes else None
        for name in names:
            changed = _done(actor, verb.name, name, until, reason)
            told = f"{name} is {verb.past}." if changed else f"{name} was not."
            (messages.success if changed else messages.warning)(request, told)
        return self._back()

    def _back(self) -> HttpResponse:
        path = f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"
        return HttpResponseRedirect(reverse(path, current_app=self.admin_site.name))


def _done(actor: Actor, verb: str, name: str, until: datetime | None, reason: str) -> bool:
    """Do it; returns whether that changed anything."""
    given: dict[str, Any] = {"until": until, "reason": reason}
    if verb == "panic":
        panic.on(actor, name, **given)
        return True
    if verb == "pause":
        resources.pause(actor, name, **given)
        return True
    return panic.off(actor, name) if verb == "panic_off" else resources.resume(actor, name)
