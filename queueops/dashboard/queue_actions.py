"""What a person does to a queue, and to a task in it: pause, resume, drain."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django import forms

from queueops.dashboard.actions import GoOn, Unchanged, action
from queueops.dashboard.fields import HowLong, Sure, Target, ending, told_until
from queueops.dashboard.overview import Ramp, ramp_of
from queueops.ops import permissions, queues, tasks
from queueops.ops.permissions import Actor
from queueops.ops.queues import Drained

__all__: list[str] = []

#: Seconds that a request drains; the answer has a button that goes on.
PIECE_SECONDS = 8.0


class PauseQueue(HowLong):
    """Which queue, how long, why."""

    queue = Target()


class ResumeQueue(Ramp):
    """Which queue, how gradually."""

    queue = Target()


class Later(Sure):
    """Which queue, and when its jobs come back."""

    named = "queue"
    hours = forms.FloatField(
        label="Put off for (hours)", min_value=0.01, max_value=24 * 365, initial=24, required=True
    )
    queue = Target()
    # Where an earlier piece has put them, so that the next one leaves those alone.
    until = forms.DateTimeField(required=False, widget=forms.HiddenInput)


class Remove(Sure):
    """Which queue."""

    named = "queue"
    queue = Target()


class PauseTask(HowLong):
    """Which task, in which queue, how long, why."""

    queue = Target(required=False)
    task = Target()


class Task(forms.Form):
    """Which task, in which queue."""

    queue = Target(required=False)
    task = Target()


@action(
    "Pause",
    permissions.PAUSE_QUEUE,
    PauseQueue,
    explained="What runs goes on, nothing starts. Waiting jobs keep their places.",
)
def pause_queue(actor: Actor, data: Mapping[str, Any]) -> str:
    """The queue is closed."""
    until = ending(data)
    queues.pause(actor, data["queue"], until=until, reason=data["reason"])
    return f"Queue {data['queue']} is paused {told_until(until)}."


@action("Resume", permissions.PAUSE_QUEUE, ResumeQueue)
def resume_queue(actor: Actor, data: Mapping[str, Any]) -> str:
    """The queue is open."""
    opened = queues.resume(actor, data["queue"], ramp=ramp_of(data))
    told = f"Queue {data['queue']}"
    return f"{told} is resumed." if opened else Unchanged(f"{told} was not paused.")


@action(
    "Drain to later",
    permissions.DRAIN_QUEUE,
    Later,
    explained="All that waits is put off, each job with its priority. What runs goes on.",
    danger=True,
)
def drain_later(actor: Actor, data: Mapping[str, Any]) -> str:
    """What waits is put off."""
    until: datetime | None = data["until"]
    delay = None if until else timedelta(hours=data["hours"])
    done = queues.drain(actor, data["queue"], delay=delay, until=until, seconds=PIECE_SECONDS)
    return _drained(done, "put off")


@action(
    "Drain for good",
    permissions.DRAIN_QUEUE,
    Remove,
    explained="All that waits is deleted. Nobody can bring it back. What runs goes on.",
    danger=True,
)
def drain_remove(actor: Actor, data: Mapping[str, Any]) -> str:
    """What waits is deleted."""
    return _drained(queues.drain(actor, data["queue"], remove=True, seconds=PIECE_SECONDS), "deleted")


@action(
    "Pause task",
    permissions.PAUSE_TASK,
    PauseTask,
    explained="Its jobs are set aside when it is their turn, and come back with the place they had.",
)
def pause_task(actor: Actor, data: Mapping[str, Any]) -> str:
    """The task's jobs are set aside."""
    until = ending(data)
    tasks.pause(actor, data["task"], data["queue"], until=until, reason=data["reason"])
    return f"Task {data['task']} is paused {told_until(until)}."


@action("Resume task", permissions.PAUSE_TASK, Task)
def resume_task(actor: Actor, data: Mapping[str, Any]) -> str:
    """The task's jobs run."""
    opened = tasks.resume(actor, data["task"], data["queue"])
    return f"Task {data['task']} is resumed." if opened else Unchanged(f"Task {data['task']} was not paused.")


def _drained(done: Drained, past: str) -> str:
    told = f"{done.count:,} job{'' if done.count == 1 else 's'} {past}."
    if done.finished:
        return told if done.count else Unchanged("Nothing was waiting.")
    carried = {"until": done.until.isoformat()} if done.until else {}
    return GoOn(f"{told} More are left.", **carried)
