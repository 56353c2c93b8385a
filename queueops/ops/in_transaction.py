"""Jobs written with the caller's rows, so that neither exists without the other.

Importing this needs no Django; a call does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from celery import Celery
from celery.app.task import Task

from queueops.middleware.draft import draft

__all__ = ["enqueue_in_transaction"]


def enqueue_in_transaction(
    task: Task | str,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    app: Celery | None = None,
    **options: Any,
) -> str:
    """Enqueue a job by a row of the current transaction: committed with it, or rolled back with it.

    Nothing is lost when the broker is away at the commit: the rows wait, and go to their queues in the order
    in which they were written, each once. With the broker there, that is at the commit. The job is made
    now: its org is the one of here and now, a countdown counts from now. Publish signals are not sent.

    The transaction is one of the database that holds queueops' tables.

    Args:
        task: a task, or the name of one that this process does not know.
        args, kwargs: the task's arguments.
        app: the Celery app; the task's own, or the current one.
        options: as for `apply_async`.

    Returns:
        The task id.

    Raises:
        PublishError: the job is refused (unknown queue, bad name, too large).
        TypeError: arguments that the task does not take.
    """
    from django.db import router

    from queueops.models import OutboxEntry
    from queueops.ops.relay import entry_of, relay_at_commit

    queue, job = draft(task, args, kwargs, options, app=app)
    alias = router.db_for_write(OutboxEntry)
    entry_of(queue, job).save(using=alias, force_insert=True)
    relay_at_commit.register(alias)
    return job.task_id
