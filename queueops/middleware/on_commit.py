"""Jobs of a database transaction: enqueued when it is committed, and never when it is rolled back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from celery import Celery
from celery.app.task import Task

from queueops.middleware.draft import app_of, draft, put

__all__ = ["enqueue_on_commit"]


def enqueue_on_commit(
    task: Task | str,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    using: str | None = None,
    app: Celery | None = None,
    **options: Any,
) -> str:
    """Enqueue a job when the current transaction has been committed; at once where there is none.

    The job is made now: a job that is refused raises here, while the transaction can still be rolled back;
    its org is the one of here and now; a countdown counts from now. Only the broker's answer comes after
    the commit: if it is away then, the job is lost and `BrokerUnavailable` is raised from the end of the
    transaction. `enqueue_in_transaction` does not lose it. Publish signals are not sent.

    Args:
        task: a task, or the name of one that this process does not know.
        args, kwargs: the task's arguments.
        using: the database of the transaction; the default one.
        app: the Celery app; the task's own, or the current one.
        options: as for `apply_async`.

    Returns:
        The task id.

    Raises:
        PublishError: the job is refused (unknown queue, bad name, too large).
        TypeError: arguments that the task does not take.
    """
    from django.db import transaction

    drafted = draft(task, args, kwargs, options, app=app)
    transaction.on_commit(partial(put, drafted, app=app_of(task, app)), using=using)
    return drafted.job.task_id
