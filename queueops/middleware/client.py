"""Many jobs of one task in one call: Celery builds the first message, the rest are made from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

from celery import Celery, current_app
from celery.app.task import Task
from kombu.exceptions import OperationalError

from queueops.engine.store import STEP
from queueops.errors import ConfigurationError, PublishError
from queueops.middleware.batch import Batch, Made
from queueops.middleware.publish import AMQP, unavailable

__all__ = ["Item", "enqueue_many"]


@dataclass(slots=True)
class Item:
    """One job of `enqueue_many`; what is None is as the call, the task or the surroundings say.

    Attributes:
        args, kwargs: the task's arguments.
        org, resource, priority, deadline: as in `apply_async`.
        task_id: Celery's id; made up where it is None.
    """

    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    org: str | None = None
    resource: str | None = None
    priority: Any = None
    deadline: Any = None
    task_id: str | None = None


Arguments: TypeAlias = tuple[Sequence[Any], Mapping[str, Any]]


def enqueue_many(
    task: Task | str, items: Iterable[Item | Arguments], *, app: Celery | None = None, **options: Any
) -> list[str]:
    """Enqueue a job of `task` for each item, many times faster than one `apply_async` after the other.

    Every item passes the middleware's `before_publish`. Celery's publish signals and `task-sent` events are
    not sent. Up to 500 jobs are enqueued in one atomic step; an error leaves the steps before it enqueued
    and names their ids in its attribute `enqueued`.

    Args:
        task: a task, or the name of one that this process does not know.
        items: `Item`s, or pairs of args and kwargs; may be a generator.
        app: the Celery app; the task's own, or the current one.
        options: as for `apply_async` (queue, org, countdown, expires, headers, ...), for all items.

    Returns:
        The task ids in the order of the items.

    Raises:
        PublishError: a job is refused (unknown queue, bad name, too large) or the broker is away.
        TypeError: arguments that the task does not take.
    """
    name = task if isinstance(task, str) else task.name
    used: Celery = app or (current_app if isinstance(task, str) else task._get_app())
    if not isinstance(used.amqp, AMQP):
        raise ConfigurationError("enqueue_many needs an app that queueops.install has seen.")
    with used.producer_or_acquire(options.pop("producer", None)) as producer:
        connection = producer.connection
        sent: list[str] = []
        try:
            return _pipeline(used, name, producer, iter(items), options, sent)
        except PublishError as error:
            error.enqueued = tuple(sent)
            raise
        except (OperationalError, *connection.recoverable_connection_errors) as error:
            away = unavailable(connection, error)
            away.enqueued = tuple(sent)
            raise away from error


def _pipeline(
    app: Celery,
    name: str,
    producer: Any,
    items: Iterable[Item | Arguments],
    options: dict[str, Any],
    sent: list[str],
) -> list[str]:
    """Make one step while the broker takes the one before; `sent` tells what it has confirmed."""
    ids: list[str] = []
    batch: Batch | None = None
    made: Made | None = None
    while chunk := [_item(one) for one in islice(items, STEP)]:
        if batch is None:
            batch = Batch(app, name, producer, chunk[0], options)
        if made is not None:
            batch.start(made)
        try:
            made = batch.make(chunk)
        finally:
            # Also when this chunk could not be made: what `sent` says of the one before is then complete.
            batch.finish(sent)
        ids += made.ids
    if batch is not None and made is not None:
        batch.start(made)
        batch.finish(sent)
    return ids


def _item(one: Item | Arguments) -> Item:
    if isinstance(one, Item):
        return one
    args, kwargs = one
    return Item(args, kwargs)
