"""What a person does to jobs: retry, cancel, hold, release, unstick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from queueops.dashboard.actions import Unchanged, action
from queueops.dashboard.fields import Call, Target
from queueops.engine.rules.priority import Priority
from queueops.ops import jobs, leases, permissions
from queueops.ops.jobs import Changed
from queueops.ops.permissions import Actor
from queueops.ops.submit import submit

__all__: list[str] = []


class Ids(forms.Field):
    """Task ids: one hidden field each, or the boxes that were ticked in a list."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: Any) -> list[str]:
        return [str(one) for one in value or []]

    def validate(self, value: list[str]) -> None:
        if not value:
            raise forms.ValidationError("Choose at least one job.")


class Jobs(forms.Form):
    """Which jobs."""

    task_id = Ids(label="Jobs")


class One(forms.Form):
    """Which job."""

    task_id = Target()


class Enqueue(Call):
    """A new job."""

    priority = forms.ChoiceField(
        required=False,
        choices=[("", "as the task says"), *((one.name, one.name.lower()) for one in Priority)],
    )
    countdown = forms.FloatField(
        required=False, min_value=0, label="In (seconds)", help_text="Empty: when it is its turn."
    )


@action("Enqueue a job", permissions.ENQUEUE_JOB, Enqueue)
def enqueue(actor: Actor, data: Mapping[str, Any]) -> str:
    """One more job."""
    made = submit(
        actor,
        data["task"],
        data["args"],
        data["kwargs"],
        queue=data["queue"],
        org=data["org"],
        priority=data["priority"] or None,
        countdown=data["countdown"],
    )
    return f"Job {made.task_id} is {made.state}."


@action("Run now", permissions.RETRY_JOB, Jobs)
def retry(actor: Actor, data: Mapping[str, Any]) -> str:
    """A job that waits for its time or its next attempt runs now."""
    return _told(jobs.retry(actor, data["task_id"]), "may run now", "Only a job that waits for its time can.")


@action(
    "Cancel",
    permissions.CANCEL_JOB,
    Jobs,
    explained="A job that waits is gone at once and leaves no dead letter. One that runs is stopped where "
    "its worker can stop it, and is not retried.",
    danger=True,
)
def cancel(actor: Actor, data: Mapping[str, Any]) -> str:
    """The job never runs, or is stopped."""
    done = jobs.cancel(actor, data["task_id"])
    told = _told(done, "cancelled", "The others were over.")
    notes = "".join(f" {task_id}: {note}." for task_id, note in done.notes.items())
    return Unchanged(told + notes) if isinstance(told, Unchanged) else told + notes


@action("Hold", permissions.HOLD_JOB, Jobs)
def hold(actor: Actor, data: Mapping[str, Any]) -> str:
    """The job waits until it is released."""
    return _told(jobs.hold(actor, data["task_id"]), "held", "One that runs is left alone.")


@action("Release", permissions.HOLD_JOB, Jobs)
def release(actor: Actor, data: Mapping[str, Any]) -> str:
    """The end of a hold."""
    return _told(jobs.release(actor, data["task_id"]), "released", "Only a job that is held can be.")


@action(
    "Release from parents",
    permissions.HOLD_JOB,
    Jobs,
    explained="It waits for no other job any more, whatever has become of it.",
)
def release_from_parents(actor: Actor, data: Mapping[str, Any]) -> str:
    """The job waits for no other one."""
    return _told(jobs.release(actor, data["task_id"], from_parents=True), "released", "")


@action(
    "Unstick",
    permissions.UNSTICK_JOB,
    One,
    explained="Stops the run, fences its lease and gives the job back to its lane. A worker whose pool "
    "cannot stop a run keeps the job; then nothing is changed, and you are told so.",
    danger=True,
)
def unstick(actor: Actor, data: Mapping[str, Any]) -> str:
    """Back to its lane."""
    done = leases.unstick(actor, data["task_id"])
    return done.told if done.word == "given_back" else Unchanged(done.told)


@action(
    "Unstick to dead letters",
    permissions.UNSTICK_JOB,
    One,
    explained="Stops the run where that can be done, and makes the job a dead letter. What the run still "
    "reports is refused, so it can be replayed later.",
    danger=True,
)
def unstick_to_dead(actor: Actor, data: Mapping[str, Any]) -> str:
    """To the dead letters."""
    done = leases.unstick(actor, data["task_id"], to="dead")
    return done.told if done.word == "dead" else Unchanged(done.told)


def _told(done: Changed, past: str, otherwise: str) -> str:
    asked = len(done.words)
    if done.count == asked:
        return f"{_jobs(asked)} {past}."
    words = ", ".join(sorted(set(done.words.values())))
    return Unchanged(f"{done.count:,} of {_jobs(asked)} {past}. {otherwise} (The broker says: {words}.)")


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number:,} jobs"
