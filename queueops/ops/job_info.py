"""All there is to know of one job: from the broker while it lives, from the database when it is over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import current_app
from django.apps import apps

from queueops.conf import config
from queueops.engine.history import Ended
from queueops.engine.job_types import JobSnapshot
from queueops.engine.rules import priority as priorities
from queueops.engine.rules.backoff import policy_from
from queueops.engine.rules.states import CELERY_STATES, JobState
from queueops.engine.store import Store
from queueops.errors import InvalidMessage
from queueops.middleware.plan import TaskPlan
from queueops.models import DeadLetter
from queueops.ops import messages
from queueops.ops.masking import mask, mask_text

__all__ = ["JobInfo", "known"]


@dataclass(frozen=True, slots=True)
class JobInfo:
    """One job. What is not known is None, "" or empty.

    Attributes:
        source: where it was found: "broker", "dead letter", "result", or "history" (the broker's list of the
            last 10,000 attempts that ended in each queue, which also completes what a result says).
        state: one of our states; "astray" for a job that has lost its place in the broker; of a job that only
            the history knows how its last attempt ended.
        attempt: the one that runs or runs next, from 1; of a job that is over the last one.
        run_limit_seconds: how long an attempt may take.
        created_at: first enqueue. claimed_at: when the worker got it, of a job that is over for its last
            attempt. due_at: when a scheduled one starts,
            for `attempt` > 1 the end of the back-off.
        queue_seconds, run_seconds: how long the last attempt was ready before its claim, and ran; None while
            it has not ended.
        worker: who has it or had it last. last_heartbeat_at: when that one was heard last.
        errors: attempts that failed, oldest first: n, at (ms), error, message, worker.
        args, kwargs: with secrets masked; None for who may not see payloads.
        letter: number of its dead letter.
        result: what it returned, as text and with secrets masked, where the project keeps results in its
            database; None for who may not see payloads.
    """

    source: str
    task_id: str
    state: str
    task: str = ""
    queue: str = ""
    org: str = ""
    resource: str = ""
    priority: int | None = None
    attempt: int = 1
    max_attempts: int | None = None
    deliveries: int = 0
    run_limit_seconds: float | None = None
    created_at: datetime | None = None
    claimed_at: datetime | None = None
    due_at: datetime | None = None
    deadline_at: datetime | None = None
    ended_at: datetime | None = None
    queue_seconds: float | None = None
    run_seconds: float | None = None
    worker: str = ""
    last_heartbeat_at: datetime | None = None
    errors: tuple[Mapping[str, Any], ...] = ()
    overdue_seconds: float = 0.0
    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None
    letter: int | None = None
    result: str | None = None


def known(store: Store, task_id: str, payload: bool) -> JobInfo | None:
    """What is known of the job; None when neither broker nor database knows the id.

    Args:
        payload: whether the one who asks may see arguments.
    """
    job = store.job(task_id)
    if job is not None:
        return _living(store, job, payload)
    letter = DeadLetter.objects.filter(task_id=task_id).order_by("-died_at", "-id").first()
    if letter is not None:
        return _dead(letter, payload)
    result = _result(task_id, payload)
    ended = store.last_attempt(task_id, result.queue if result else "")
    if ended is None:
        return result
    return _completed(result or JobInfo("history", task_id, ended.outcome), ended)


def _living(store: Store, job: JobSnapshot, payload: bool) -> JobInfo:
    head, lease = job.head, job.lease
    try:
        message: messages.Message | None = messages.read(job.message)
    except InvalidMessage:
        message = None
    header = message.own if message else {}
    return JobInfo(
        source="broker",
        task_id=job.task_id,
        state=job.state,
        task=head.task,
        queue=job.queue,
        org=head.org,
        resource=head.resource,
        priority=header.get("priority", priorities.Priority.NORMAL.value),
        attempt=head.attempt + 1,
        max_attempts=_most_attempts(head.task, job.queue, header),
        deliveries=lease.deliveries if lease else head.deliveries,
        run_limit_seconds=_run_limit(message) or head.run_limit_ms / 1000 or None,
        created_at=_at(head.first_ms),
        claimed_at=_at(lease.claimed_ms) if lease else None,
        due_at=_at(job.at_ms) if job.state in (JobState.SCHEDULED, JobState.BLOCKED) else None,
        deadline_at=_at(head.deadline_ms),
        worker=lease.holder if lease else "",
        # A renewal lets the lease run for its whole length again.
        last_heartbeat_at=_at(lease.expires_ms - store.lease_ms) if lease and lease.expires_ms else None,
        errors=tuple(_error(one) for one in header.get("attempts", ()) if isinstance(one, Mapping)),
        overdue_seconds=job.overdue_ms / 1000,
        args=mask(message.args) if payload and message else None,
        kwargs=mask(message.kwargs) if payload and message else None,
    )


def _most_attempts(task: str, queue: str, header: Mapping[str, Any]) -> int | None:
    """How often the job is tried at most; None when its task decides and is not known here."""
    registered = current_app.tasks.get(task)
    if header.get("own") or getattr(registered, "autoretry_for", ()):
        retries = getattr(registered, "max_retries", None)
        return None if retries is None else retries + 1
    policy = TaskPlan(current_app, task, registered).policy(config().retry_policy(queue))
    return policy_from(header["retry"], policy).attempts if header.get("retry") else policy.attempts


def _error(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**entry, "message": mask_text(str(entry.get("message") or ""))}


def _run_limit(message: messages.Message | None) -> float | None:
    soft, hard = (message.headers.get("timelimit") if message else None) or (None, None)
    return hard or soft


def _dead(letter: DeadLetter, payload: bool) -> JobInfo:
    try:
        message: messages.Message | None = messages.read(letter.raw_message)
    except InvalidMessage:
        message = None
    return JobInfo(
        source="dead letter",
        task_id=letter.task_id,
        state=JobState.DEAD.value,
        task=letter.task,
        queue=letter.queue,
        org=letter.org,
        resource=letter.resource,
        priority=message.own.get("priority", priorities.Priority.NORMAL.value) if message else None,
        attempt=letter.attempt_count,
        max_attempts=letter.attempt_count,
        deliveries=letter.deliveries,
        run_limit_seconds=_run_limit(message),
        created_at=letter.first_enqueued_at,
        claimed_at=letter.died_at - timedelta(milliseconds=letter.run_ms) if letter.run_ms else None,
        ended_at=letter.died_at,
        run_seconds=letter.run_ms / 1000 if letter.run_ms else None,
        worker=letter.worker,
        errors=tuple(_error(one) for one in letter.attempts),
        args=mask(letter.args) if payload else None,
        kwargs=mask(letter.kwargs) if payload else None,
        letter=letter.pk,
    )


def _result(task_id: str, payload: bool) -> JobInfo | None:
    # The rows of Celery's own result backend, where the project has it in its database.
    if not apps.is_installed("django_celery_results"):
        return None
    row = apps.get_model("django_celery_results", "TaskResult").objects.filter(task_id=task_id).first()
    if row is None:
        return None
    ours = CELERY_STATES.get(row.status, frozenset())
    kept = _kept(row.meta)
    shown = [str(row.task_args or ""), str(row.task_kwargs or "")] if payload else None
    return JobInfo(
        source="result",
        task_id=task_id,
        state=next(iter(ours)).value if len(ours) == 1 else row.status.lower(),
        task=row.task_name or "",
        queue=str(kept.get("queue") or ""),
        org=str(kept.get("org") or ""),
        created_at=row.date_created,
        claimed_at=row.date_started,
        ended_at=row.date_done,
        worker=row.worker or "",
        args=[mask_text(text) for text in shown if text] if shown else None,
        result=mask_text(str(row.result)) if payload and row.result is not None else None,
    )


def _kept(meta: str | None) -> Mapping[str, Any]:
    """What the worker kept with a result, as JSON in its row."""
    try:
        found = json.loads(meta or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _completed(info: JobInfo, ended: Ended) -> JobInfo:
    """The job with what the broker's history knows of its last attempt."""
    return replace(
        info,
        task=ended.task,
        queue=ended.queue,
        org=ended.org,
        resource=ended.resource,
        attempt=ended.attempt,
        deliveries=ended.deliveries,
        claimed_at=_at(ended.claimed_ms),
        ended_at=_at(ended.ended_ms),
        queue_seconds=ended.wait_ms / 1000,
        run_seconds=ended.run_ms / 1000,
        errors=(
            (
                {
                    "n": ended.attempt,
                    "at": ended.ended_ms,
                    "error": ended.error,
                    "message": mask_text(ended.message),
                },
            )
            if ended.error
            else ()
        ),
    )


def _at(ms: int) -> datetime | None:
    return datetime.fromtimestamp(ms / 1000, UTC) if ms else None
