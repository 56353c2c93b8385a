"""Outside things that jobs use: what holds them back, and panic mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.http import HttpRequest
from django.urls import reverse

from queueops.dashboard.actions import Unchanged, action
from queueops.dashboard.fields import HowLong, Target, ending, told_until
from queueops.dashboard.page import NAMESPACE, Page, page
from queueops.ops import panic, permissions, resources
from queueops.ops.permissions import Actor

__all__ = ["resource", "resource_list"]


def _resource_list(request: HttpRequest, actor: Actor) -> Page:
    search = request.GET.get("search", "").strip()
    found = [(one, panic.status_of(one.snapshot)) for one in resources.listed(actor, search=search)]
    return Page("resources.html", "Resources", {"rows": found, "search": search}, "resources")


def _resource(request: HttpRequest, actor: Actor, *, name: str) -> Page:
    [one] = resources.listed(actor, [name])
    held = panic.dry_run(actor, name) if actor.may(permissions.PANIC) else None
    context = {
        "one": one,
        "panic": panic.status_of(one.snapshot),
        "held": held,
        "history": panic.history(name, limit=20),
    }
    crumbs = (("Resources", reverse(f"{NAMESPACE}:resources")),)
    return Page("resource.html", name, context, "resources", crumbs)


resource_list, resource = page(_resource_list), page(_resource)


class Closes(HowLong):
    """Which resource, how long, why."""

    resource = Target(max_length=128)


class Which(forms.Form):
    """Which resource."""

    resource = Target(max_length=128)


class Limits(Which):
    """Limits of a resource. What stays empty is left as it is."""

    rate = forms.CharField(
        required=False, max_length=32, label="Rate", help_text="As 10/s, 5/m, 100/h; -1 is no limit."
    )
    burst = forms.IntegerField(
        required=False, min_value=1, help_text="Jobs that may start at once after a quiet time."
    )
    max_in_flight = forms.IntegerField(
        required=False, min_value=-1, label="At once", help_text="Jobs in flight; -1 is no limit."
    )
    breaker = forms.ChoiceField(
        required=False, choices=(("", "as it is"), ("on", "on"), ("off", "off")), label="Breaker"
    )
    note = forms.CharField(required=False, max_length=200)


@action(
    "Panic",
    permissions.PANIC,
    Closes,
    explained="Its breaker opens: no job that uses it starts, what runs goes on, and no waiting job loses "
    "an attempt. After the time a few probes go through, and it closes when they succeed.",
    danger=True,
)
def panic_on(actor: Actor, data: Mapping[str, Any]) -> str:
    """Jobs that use the resource are held."""
    until = ending(data)
    found = panic.on(actor, data["resource"], until=until, reason=data["reason"])
    held = sum(found.held.values())
    return f"{data['resource']} is in panic mode {told_until(until)}; {held:,} jobs are held."


@action("End panic", permissions.PANIC, Which)
def panic_off(actor: Actor, data: Mapping[str, Any]) -> str:
    """Jobs that wait go on."""
    if not panic.off(actor, data["resource"]):
        return Unchanged(f"{data['resource']} was not in panic mode.")
    return f"{data['resource']} is out of panic mode; its jobs go on."


@action(
    "Pause",
    permissions.PAUSE_RESOURCE,
    Closes,
    explained="No job that uses it starts; what runs goes on. After the time all of them go on at once.",
)
def pause_resource(actor: Actor, data: Mapping[str, Any]) -> str:
    """The resource is closed."""
    until = ending(data)
    resources.pause(actor, data["resource"], until=until, reason=data["reason"])
    return f"{data['resource']} is paused {told_until(until)}."


@action("Resume", permissions.PAUSE_RESOURCE, Which)
def resume_resource(actor: Actor, data: Mapping[str, Any]) -> str:
    """The resource is open."""
    opened = resources.resume(actor, data["resource"])
    return f"{data['resource']} is resumed." if opened else Unchanged(f"{data['resource']} was not paused.")


@action(
    "Set limit",
    permissions.CHANGE_RESOURCE,
    Limits,
    explained="Holds for all orgs and queues together, until it is changed.",
)
def set_resource_limit(actor: Actor, data: Mapping[str, Any]) -> str:
    """The resource's limits are changed."""
    values = {
        name: data[name]
        for name in ("rate", "burst", "max_in_flight", "breaker")
        if data[name] not in (None, "")
    }
    resources.set_limit(actor, data["resource"], values, note=data["note"])
    said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())
    return f"Limit of {data['resource']}: {said}."


@action(
    "Reset limit",
    permissions.RESET_RESOURCE,
    Which,
    explained="Deletes its own limits, so that it has those of the settings again.",
    danger=True,
)
def reset_resource_limit(actor: Actor, data: Mapping[str, Any]) -> str:
    """The resource has the default again."""
    if not resources.reset_limit(actor, data["resource"]):
        return Unchanged(f"{data['resource']} had no limit of its own.")
    return f"{data['resource']} has the default again."
