"""Workers: what each has, and quiet, stop, restart, scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.http import HttpRequest

from queueops.conf import config
from queueops.dashboard.actions import Unchanged, action
from queueops.dashboard.fields import HowLong, Target, ending, told_until
from queueops.dashboard.page import Page, page
from queueops.ops import permissions, scaling
from queueops.ops import workers as verbs
from queueops.ops.permissions import Actor
from queueops.ops.workers import WorkerAnswer

__all__ = ["workers"]


def _workers(request: HttpRequest, actor: Actor) -> Page:
    found = verbs.listed(actor)
    context = {
        "rows": found,
        "slots": sum(worker.slots for worker in found),
        "jobs": sum(worker.jobs for worker in found),
        "wanted": scaling.wanted(actor),
    }
    return Page("workers.html", "Workers", context, "workers")


workers = page(_workers)


class Named(forms.Form):
    """Which worker."""

    name = Target()


class Queue(forms.Form):
    """Which queue."""

    queue = Target()


class Scale(HowLong):
    """Which queue, how many slots, how long."""

    reason = None  # type: ignore[assignment]
    queue = forms.ChoiceField()
    count = forms.IntegerField(min_value=1, max_value=10_000, label="Slots in all")
    field_order = ("queue", "count", "minutes")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["queue"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(name, name) for name in sorted(config().queues)]


@action(
    "Quiet",
    permissions.OPERATE_WORKER,
    Named,
    explained="It takes no new jobs; those it runs go on to their end.",
)
def quiet_worker(actor: Actor, data: Mapping[str, Any]) -> str:
    """The worker takes no new jobs."""
    return _told(verbs.quiet(actor, [data["name"]]))


@action("Unquiet", permissions.OPERATE_WORKER, Named)
def unquiet_worker(actor: Actor, data: Mapping[str, Any]) -> str:
    """The worker takes jobs again."""
    return _told(verbs.unquiet(actor, [data["name"]]))


@action(
    "Restart",
    permissions.OPERATE_WORKER,
    Named,
    explained="Its running jobs end first, where its pool can wait for them.",
)
def restart_worker(actor: Actor, data: Mapping[str, Any]) -> str:
    """The worker starts anew."""
    return _told(verbs.restart(actor, [data["name"]]))


@action(
    "Stop",
    permissions.OPERATE_WORKER,
    Named,
    explained="A warm shutdown: running jobs end, what was claimed ahead goes back. Whether something "
    "starts it again is up to what runs your workers.",
    danger=True,
)
def stop_worker(actor: Actor, data: Mapping[str, Any]) -> str:
    """The worker ends."""
    return _told(verbs.stop(actor, [data["name"]]))


@action(
    "Scale",
    permissions.OPERATE_WORKER,
    Scale,
    explained="Adds or removes slots where the workers' pools can; else it says which command starts a "
    "process. The autoscaler obeys until the time is over.",
)
def scale(actor: Actor, data: Mapping[str, Any]) -> str:
    """The queue's workers have more or fewer slots."""
    until = ending(data)
    done = scaling.scale(actor, data["queue"], data["count"], until=until)
    told = f"{done.told} It holds {told_until(until)}."
    return told if done.after == data["count"] else Unchanged(told)


@action("End scaling by hand", permissions.OPERATE_WORKER, Queue)
def unscale(actor: Actor, data: Mapping[str, Any]) -> str:
    """The rule, or what the workers were started with, holds again."""
    if not scaling.unscale(actor, data["queue"]):
        return Unchanged(f"Nobody had scaled {data['queue']} by hand.")
    return f"{data['queue']} follows its rule again."


def _told(answers: list[WorkerAnswer]) -> str:
    told = " ".join(f"{answer.name}: {answer.told}" for answer in answers)
    done = all(answer.word not in ("cannot", "silent", "unchanged") for answer in answers)
    return told if done else Unchanged(told)
