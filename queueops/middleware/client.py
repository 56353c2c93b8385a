"""Many jobs of one task in one call: Celery builds the first message, the rest are made from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from celery import Celery, current_app
from celery.app.task import Task
from kombu.exceptions import OperationalError

from queueops.engine.store import STEP
from queueops.errors import ConfigurationError, PublishError
from queueops.middleware.batch import Batch, Made, Sent
from queueops.middleware.depends import parent_ids
from queueops.middleware.options import Parents
from queueops.middleware.order import chunks
from queueops.middleware.publish import AMQP, unavailable

__all__ = ["Enqueued", "Item", "enqueue_many"]


@dataclass(slots=True)
class Item:
    """One job of `enqueue_many`; what is None is as the call, the task or the surroundings say.

    Attributes:
        args, kwargs: the task's arguments.
        org, resource, priority, deadline, unique_key: as in `apply_async`.
        task_id: Celery's id; made up where it is None.
        after: as in `apply_async`; may name the `task_id` of another item, before or after this one.
    """

    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    org: str | None = None
    resource: str | None = None
    priority: Any = None
    deadline: Any = None
    task_id: str | None = None
    after: Parents | None = None
    unique_key: str | None = None


class Enqueued(list[str]):
    """Task ids of `enqueue_many`, in the order of the items.

    Attributes:
        existing: the items that made no job because one with their unique key was there: the id of that job
            by the item's place. The list holds this id at that place too.
        cancelled: places of the items that were cancelled at once, with a parent that is dead.
    """

    def __init__(
        self,
        ids: Iterable[str] = (),
        existing: Mapping[int, str] | None = None,
        cancelled: Iterable[int] = (),
    ) -> None:
        super().__init__(ids)
        self.existing: Mapping[int, str] = dict(existing or {})
        self.cancelled = frozenset(cancelled)

    @property
    def new(self) -> list[str]:
        """The ids of the jobs that the call has made."""
        return [
            task_id
            for place, task_id in enumerate(self)
            if place not in self.existing and place not in self.cancelled
        ]


Arguments: TypeAlias = tuple[Sequence[Any], Mapping[str, Any]]


def enqueue_many(
    task: Task | str, items: Iterable[Item | Arguments], *, app: Celery | None = None, **options: Any
) -> Enqueued:
    """Enqueue a job of `task` for each item, many times faster than one `apply_async` after the other.

    Every item passes the middleware's `before_publish`. Celery's publish signals and `task-sent` events are
    not sent. Up to 500 jobs are enqueued in one atomic step; an error leaves the steps before it enqueued
    and names their ids in its attribute `enqueued`. Items that wait for other items of the call (`after`) are
    enqueued behind these, in as many steps as the longest line of them has members.

    Args:
        task: a task, or the name of one that this process does not know.
        items: `Item`s, or pairs of args and kwargs; may be a generator, of which all is read once an item has
            `after`.
        app: the Celery app; the task's own, or the current one.
        options: as for `apply_async` (queue, org, countdown, expires, headers, ...), for all items.

    Returns:
        The task ids in the order of the items; it also tells which of the jobs were there already.

    Raises:
        PublishError: a job is refused (unknown queue, bad name, too large, queue full, unknown parent) or the
            broker is away.
        DependencyCycle: items wait for one another.
        TypeError: arguments that the task does not take.
    """
    name = task if isinstance(task, str) else task.name
    used: Celery = app or (current_app if isinstance(task, str) else task._get_app())
    if not isinstance(used.amqp, AMQP):
        raise ConfigurationError("enqueue_many needs an app that queueops.install has seen.")
    with used.producer_or_acquire(options.pop("producer", None)) as producer:
        connection = producer.connection
        sent = Sent()
        try:
            return _pipeline(used, name, producer, iter(items), options, sent)
        except PublishError as error:
            error.enqueued = tuple(sent.ids)
            raise
        except (OperationalError, *connection.recoverable_connection_errors) as error:
            away = unavailable(connection, error)
            away.enqueued = tuple(sent.ids)
            raise away from error


def _pipeline(
    app: Celery,
    name: str,
    producer: Any,
    items: Iterable[Item | Arguments],
    options: dict[str, Any],
    sent: Sent,
) -> Enqueued:
    """Make one step while the broker takes the one before; `sent` tells what it has confirmed."""
    ids: dict[int, str] = {}
    batch: Batch | None = None
    made: Made | None = None
    for chunk in chunks(map(_item, items), STEP):
        if batch is None:
            batch = Batch(app, name, producer, chunk.items[0], options)
        if made is not None:
            batch.start(made)
        if chunk.waits:
            batch.finish(sent)
            chunk.items = [_with_parents(item, sent.instead) for item in chunk.items]
        try:
            made = batch.make(chunk.items, chunk.places)
        finally:
            # Also when this chunk could not be made: what `sent` says of the one before is then complete.
            batch.finish(sent)
        ids.update(zip(chunk.places, made.ids, strict=True))
    if batch is not None and made is not None:
        batch.start(made)
        batch.finish(sent)
    ids.update(sent.existing)
    return Enqueued((ids[place] for place in range(len(ids))), sent.existing, sent.cancelled)


def _with_parents(item: Item, instead: Mapping[str, str]) -> Item:
    # A parent that made no job stands for the job that was there.
    if item.after is None or not instead:
        return item
    return replace(item, after=[instead.get(one, one) for one in parent_ids(item.after)])


def _item(one: Item | Arguments) -> Item:
    if isinstance(one, Item):
        return one
    args, kwargs = one
    return Item(args, kwargs)
