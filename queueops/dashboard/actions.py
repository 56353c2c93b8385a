"""Buttons: each calls one verb of `ops` by a form that is sent with POST, and says what was done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from queueops.api.download import Download
from queueops.dashboard.page import NAMESPACE, actor_of, guarded
from queueops.errors import QueueOpsError
from queueops.ops.permissions import Actor

__all__ = ["ACTIONS", "Action", "GoOn", "Unchanged", "action", "do"]


class Unchanged(str):
    """A sentence about what was not done, and why; told as a warning."""


class GoOn(Unchanged):
    """A sentence about what is done in part; a button stands beside it that does the next part.

    Attributes:
        carried: what the form is sent with besides what it was sent with this time.
    """

    carried: Mapping[str, str]

    def __new__(cls, told: str, **carried: str) -> GoOn:
        made = super().__new__(cls, told)
        made.carried = carried
        return made


Act = Callable[[Actor, Mapping[str, Any]], str | Download]


@dataclass(frozen=True, slots=True)
class Action:
    """A button.

    Attributes:
        name: what it is called in the address.
        label: what stands on it.
        permissions: who lacks one of them sees no button, and is refused when asking anyhow.
        form: what is asked; hidden fields name what it is done to.
        act: calls the verb; returns what was done in a sentence, or the file that was asked for.
        explained: what happens, said before it does. Empty with no visible field: it is done at once.
        danger: it cannot be undone, or stops what runs.
        downloads: it answers with a file, so that the page stays.
    """

    name: str
    label: str
    permissions: tuple[str, ...]
    form: type[forms.Form]
    act: Act
    explained: str = ""
    danger: bool = False
    downloads: bool = False

    def offered(self, actor: Actor) -> bool:
        """Whether the actor has all that it needs."""
        return all(actor.may(permission) for permission in self.permissions)

    @property
    def asks(self) -> bool:
        """Whether the person is asked before it is done."""
        visible = any(not field.widget.is_hidden for field in self.form.base_fields.values())
        return visible or bool(self.explained)


ACTIONS: dict[str, Action] = {}


def action(
    label: str,
    permission: str,
    form: type[forms.Form],
    *,
    also: tuple[str, ...] = (),
    explained: str = "",
    danger: bool = False,
    downloads: bool = False,
) -> Callable[[Act], Act]:
    """Register the function as the action of its own name; `also`: further permissions that it needs."""

    def registered(act: Act) -> Act:
        name = act.__name__
        ACTIONS[name] = Action(name, label, (permission, *also), form, act, explained, danger, downloads)
        return act

    return registered


def _do(request: HttpRequest, *, name: str) -> HttpResponseBase:
    """Check the form, call the verb, say what was done, and go back to the page that asked.

    Where a file was asked for the answer is that, and the page stays.
    """
    asked = ACTIONS.get(name)
    if asked is None:
        raise Http404(f"There is no action {name}.")
    actor = actor_of(request)
    try:
        # Before the form is read: what is missing in it is nobody's business who may not send it.
        for permission in asked.permissions:
            actor.require(permission)
        told = _act(request, actor, asked)
    except PermissionDenied as refused:
        return _refused(request, str(refused))
    return told.response(request) if told else HttpResponseRedirect(_back(request))


do = require_POST(guarded(_do))


def _act(request: HttpRequest, actor: Actor, asked: Action) -> Download | None:
    """Call the verb, and leave what it says as a message; a file is returned."""
    form = asked.form(request.POST, request.FILES)
    if not form.is_valid():
        for field, errors in form.errors.items():
            label = form[field].label if field in form.fields else ""
            messages.error(
                request, f"{asked.label}: {label + ': ' if label else ''}{' '.join(map(str, errors))}"
            )
        return None
    try:
        told = asked.act(actor, form.cleaned_data)
    except (QueueOpsError, ValueError) as error:
        messages.error(request, f"{asked.label} was not done. {error}")
        return None
    if isinstance(told, Download):
        return told
    (messages.warning if isinstance(told, Unchanged) else messages.success)(
        request, _with_button(request, asked, form, told) if isinstance(told, GoOn) else told
    )
    return None


def _with_button(request: HttpRequest, asked: Action, form: forms.Form, told: GoOn) -> str:
    # In the message itself: it has to survive the redirect, like the sentence, and no longer than that.
    sent = {name: request.POST.getlist(name) for name in form.fields}
    sent |= {name: [value] for name, value in told.carried.items()}
    fields = [(name, value) for name, values in sent.items() for value in values]
    context = {"told": str(told), "action": asked, "fields": fields, "next": _back(request)}
    return render_to_string("queueops/dashboard/parts/go_on.html", context, request)


def _refused(request: HttpRequest, told: str) -> HttpResponse:
    return render(
        request, "queueops/dashboard/refused.html", {"told": told, "title": "Not allowed"}, status=403
    )


def _back(request: HttpRequest) -> str:
    wanted = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(wanted, {request.get_host()}, request.is_secure()):
        return wanted
    return reverse(f"{NAMESPACE}:overview")
