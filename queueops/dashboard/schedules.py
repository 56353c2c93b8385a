"""Schedules: what comes due when; add, enable, disable, run now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django import forms
from django.http import HttpRequest

from queueops.dashboard.actions import Unchanged, action
from queueops.dashboard.fields import Call
from queueops.dashboard.page import Page, page
from queueops.ops import permissions
from queueops.ops import schedules as verbs
from queueops.ops.permissions import Actor
from queueops.ops.schedules import Switched

__all__ = ["schedules"]


def _schedules(request: HttpRequest, actor: Actor) -> Page:
    found = verbs.listed(actor)
    return Page("schedules.html", "Schedules", {"rows": found}, "schedules")


schedules = page(_schedules)


class Entry(forms.Form):
    """Which entry."""

    id = forms.IntegerField(widget=forms.HiddenInput)
    name = forms.CharField(widget=forms.HiddenInput, required=False)


class New(Call):
    """A new entry. When: one of the three."""

    name = forms.CharField(max_length=200)
    cron = forms.CharField(required=False, max_length=100, help_text="As 0 4 * * *.")
    every = forms.FloatField(required=False, min_value=0.02, label="Every (minutes)")
    at = forms.DateTimeField(
        required=False, label="Once at", widget=forms.DateTimeInput(attrs={"type": "datetime-local"})
    )
    field_order = ("name", "task", "cron", "every", "at")


@action("Run now", permissions.OPERATE_SCHEDULE, Entry)
def run_now(actor: Actor, data: Mapping[str, Any]) -> str:
    """A job of the entry is sent, beside its times."""
    sent = verbs.run_now(actor, [data["id"]])
    return f"Sent as job {sent[0]}." if sent else Unchanged("This schedule is gone.")


@action("Enable", permissions.OPERATE_SCHEDULE, Entry)
def enable_schedule(actor: Actor, data: Mapping[str, Any]) -> str:
    """The entry comes due again."""
    done = verbs.enable(actor, [data["id"]])
    return _told(done, data, "enabled")


@action(
    "Disable",
    permissions.OPERATE_SCHEDULE,
    Entry,
    explained="It does not come due until it is enabled again.",
)
def disable_schedule(actor: Actor, data: Mapping[str, Any]) -> str:
    """The entry does not come due."""
    done = verbs.disable(actor, [data["id"]])
    return _told(done, data, "disabled")


@action("Add schedule", permissions.OPERATE_SCHEDULE, New, explained="Say when in one of the three ways.")
def add_schedule(actor: Actor, data: Mapping[str, Any]) -> str:
    """A new entry."""
    given = {name: data[name] for name in ("args", "kwargs", "queue", "org") if data[name]}
    every = timedelta(minutes=data["every"]) if data["every"] else None
    made = verbs.add(
        actor, data["name"], data["task"], cron=data["cron"], every=every, at=data["at"], **given
    )
    return f"Schedule {made.name} is added: {made.when}."


def _told(done: Switched, data: Mapping[str, Any], past: str) -> str:
    name = ", ".join(done.names) or data["name"]
    return f"Schedule {name} is {past}." if done.count else Unchanged(f"Schedule {name} was {past} already.")
