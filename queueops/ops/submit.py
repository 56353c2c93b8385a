"""The verb that enqueues a job by its task's name, for people and programs that do not import the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from kombu.exceptions import EncodeError

from queueops.errors import InvalidMessage
from queueops.middleware.draft import draft, put
from queueops.ops import audit, permissions
from queueops.ops.permissions import Actor
from queueops.ops.registry import known_task

__all__ = ["Submitted", "submit"]


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job of a submit.

    Attributes:
        task_id: its id; of the job that has the unique key, where there is one already.
        state: ready, scheduled or blocked; "existing" where another job has its unique key.
        queue, org: where it went.
    """

    task_id: str
    state: str
    queue: str
    org: str


def submit(
    actor: Actor,
    task: str,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    queue: str = "",
    org: str = "",
    resource: str = "",
    priority: int | str | None = None,
    eta: datetime | None = None,
    countdown: float | None = None,
    deadline: float | timedelta | datetime | None = None,
    unique_key: str = "",
) -> Submitted:
    """Enqueue a job. What is left out is as the task and the routes say.

    Args:
        task: a registered task.
        args, kwargs: in JSON's types.
        priority: 0 (sooner) to 10 (later), or a name.
        eta, countdown: it starts then, or after so many seconds; not both.
        deadline: when it should be finished; as a number: seconds from now.
        unique_key: no second job has it as long as this one lives.

    Raises:
        PermissionDenied: the actor may not enqueue jobs.
        UnknownTask: no task of this name is registered; the error names near ones.
        PublishError: the job is refused (unknown queue, bad name, arguments that the task does not take).
        ConfigurationError: an option is no time.
        BrokerUnavailable: the broker did not take it.
    """
    actor.require(permissions.ENQUEUE_JOB)
    registered = current_app.tasks[known_task(task)]
    if eta is not None and countdown is not None:
        raise InvalidMessage("A job has an eta or a countdown, not both.")
    given = {
        "queue": queue,
        "org": org,
        "resource": resource,
        "priority": priority,
        "eta": eta,
        "countdown": countdown,
        "deadline": deadline,
        "unique_key": unique_key,
    }
    options = {name: value for name, value in given.items() if value not in (None, "")}
    try:
        drafted = draft(registered, list(args), dict(kwargs or {}), options)
    except (TypeError, OverflowError, EncodeError) as error:
        raise InvalidMessage(f"Task {task} does not take this: {error}") from error
    job = drafted.job
    word, _, holder = put(drafted).partition(" ")
    told = {name: str(value) for name, value in options.items()}
    asked = {**told, "args": list(args), "kwargs": dict(kwargs or {}), "task_id": holder or job.task_id}
    audit.record(actor, "enqueue", f"task {task}", asked, 0 if holder else 1)
    return Submitted(holder or job.task_id, word, drafted.queue, job.org)
