"""Many jobs of one task in one call: Celery builds the first message, the rest are made from it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

from celery import Celery, current_app
from celery.app.amqp import task_message
from celery.app.task import Task
from kombu.exceptions import OperationalError

from queueops.engine.rules.envelope import NewJob
from queueops.engine.store import steps
from queueops.errors import ConfigurationError, PublishError
from queueops.middleware.chain import Envelope, chain
from queueops.middleware.publish import (
    AMQP,
    Recorder,
    add_custom,
    first_envelope,
    header_of,
    inherit,
    own_options,
    shown,
    unavailable,
)
from queueops.middleware.template import Template
from queueops.transport.messages import new_tags

__all__ = ["Item", "enqueue_many"]

#: Jobs that are made before they are sent: bounds the memory of an endless iterable.
_CHUNK = 1_000


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
    remaining = iter(items)
    ids: list[str] = []
    with used.producer_or_acquire(options.pop("producer", None)) as producer:
        batch: _Batch | None = None
        connection = producer.connection
        try:
            while chunk := [_item(one) for one in islice(remaining, _CHUNK)]:
                if batch is None:
                    batch = _Batch(used, name, producer, chunk[0], options)
                ids += batch.put(chunk)
        except PublishError as error:
            error.enqueued = (*ids, *error.enqueued)
            raise
        except (OperationalError, *connection.recoverable_connection_errors) as error:
            # Away already when the first message was made, which asks the channel.
            away = unavailable(connection, error)
            away.enqueued = tuple(ids)
            raise away from error
    return ids


def _item(one: Item | Arguments) -> Item:
    if isinstance(one, Item):
        return one
    args, kwargs = one
    return Item(args, kwargs)


def _task_ids(count: int) -> Iterator[str]:
    # As `uuid4` makes them, with one call of the system for all: a third of what an id costs alone.
    text = os.urandom(16 * count).hex()
    for at in range(0, 32 * count, 32):
        a, b, c, d = (
            text[at : at + 8],
            text[at + 8 : at + 12],
            text[at + 13 : at + 16],
            text[at + 17 : at + 20],
        )
        yield f"{a}-{b}-4{c}-{'89ab'[int(text[at + 16], 16) & 3]}{d}-{text[at + 20 : at + 32]}"


class _Batch:
    """What all messages of a call have in common."""

    def __init__(self, app: Celery, name: str, producer: Any, first: Item, options: dict[str, Any]) -> None:
        task = app._tasks.get(name)
        recorder = Recorder(producer)
        # Celery merges the task's options, routes and dates; our sender hands the result to the recorder.
        send = partial(app.send_task, name) if task is None else task.apply_async
        send(first.args, first.kwargs, producer=recorder, add_to_parent=False, **options)
        if recorder.queue is None:
            raise ConfigurationError("enqueue_many sends to a queue, not to an exchange.")
        self._app, self._producer, self._task = app, producer, task
        self._amqp: AMQP = app.amqp
        self._plan = self._amqp.plan(name)
        self._queue: str = recorder.queue.name
        self._options = recorder.options
        self._own = own_options(self._options)
        self._headers, self._properties, body, _ = recorder.message
        self._embed = body[2]
        self._own_root = self._headers["root_id"] == self._headers["id"]
        inherit(add_custom(self._headers, recorder.custom), self._own)
        self._template: Template | None = None

    def put(self, items: list[Item]) -> list[str]:
        """Enqueue a chunk of items; returns their task ids."""
        hooks, count = chain().before_publish, len(items)
        jobs: dict[str, list[NewJob]] = {}
        ids: list[str] = []
        for item, made_id, tag in zip(items, _task_ids(count), new_tags(count), strict=True):
            envelope = self._envelope(item, item.task_id or made_id)
            for hook in hooks:
                hook(envelope)
            header_of(envelope)
            template = self._template
            if template is None or not template.fits(envelope):
                template = Template(self._app, self._producer, envelope, self._embed, self._options)
                self._template = template
            jobs.setdefault(envelope.queue, []).append(template.job(envelope, tag))
            ids.append(envelope.task_id)
        sent: list[str] = []
        for queue, of_queue in jobs.items():
            self._enqueue(queue, of_queue, sent)
        return ids

    def _envelope(self, item: Item, task_id: str) -> Envelope:
        args, kwargs = self._checked(item.args, item.kwargs)
        amqp = self._amqp
        headers, properties = self._headers.copy(), self._properties.copy()
        headers["id"] = properties["correlation_id"] = task_id
        if self._own_root:
            headers["root_id"] = task_id
        headers["argsrepr"] = shown(args, amqp.argsrepr_maxsize)
        headers["kwargsrepr"] = shown(kwargs, amqp.kwargsrepr_maxsize)
        own = self._own
        if item.org is not None or item.resource is not None or item.deadline is not None:
            given = {"org": item.org, "resource": item.resource, "deadline": item.deadline}
            own = own | {key: value for key, value in given.items() if value is not None}
        priority = self._options.get("priority") if item.priority is None else item.priority
        message = task_message(headers, properties, (args, kwargs, self._embed), None)
        return first_envelope(self._queue, message, own, self._plan, priority)

    def _checked(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        if not isinstance(args, list | tuple) or not isinstance(kwargs, Mapping):
            raise TypeError("The arguments of a task are a list or tuple, and a mapping.")
        task = self._task
        if task is not None:
            if task.typing:
                task.__header__(*args, **kwargs)
            if task._dump_pydantic_arguments is not None:
                args, kwargs = task._dump_pydantic_arguments(args, kwargs)
        return args, kwargs

    def _enqueue(self, queue: str, jobs: list[NewJob], sent: list[str]) -> None:
        producer = self._producer
        policy = self._app.conf.task_publish_retry_policy | (self._options.get("retry_policy") or {})
        again = False

        def put(step: Sequence[NewJob]) -> None:
            nonlocal again
            # After an error nobody knows whether the step was enqueued; its tags tell the broker.
            step = [replace(job, repeated=True) for job in step] if again else step
            again = True
            producer.channel.store.enqueue(queue, step)

        try:
            for step in steps(jobs):
                again = False
                producer.connection.ensure(producer, put, **policy)(step)
                sent += [job.task_id for job in step]
        except PublishError as error:
            error.enqueued = tuple(sent)
            raise
        except (OperationalError, *producer.connection.recoverable_connection_errors) as error:
            away = unavailable(producer.connection, error)
            away.enqueued = tuple(sent)
            raise away from error
