"""The jobs of one `enqueue_many`: made from one message of Celery's, sent step by step."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.app.amqp import task_message

from queueops.engine.rules.envelope import NewJob
from queueops.errors import ConfigurationError, NotReplicated
from queueops.middleware.chain import Envelope, chain
from queueops.middleware.envelopes import (
    add_custom,
    first_envelope,
    header_of,
    inherit,
    own_options,
    shown,
)
from queueops.middleware.publish import AMQP, Recorder, one_try_less
from queueops.middleware.template import Template
from queueops.transport.messages import new_tags

if TYPE_CHECKING:
    from queueops.middleware.client import Item

__all__ = ["Batch", "Made", "Sent"]


#: What an item may say by itself beside its priority; the rest is the call's.
_OWN = ("org", "resource", "deadline", "after", "unique_key")


@dataclass(frozen=True, slots=True)
class Made:
    """Jobs that are ready to be sent, by queue.

    Attributes:
        ids: the task ids in the order of the items.
        places: the place of each item in the call, by the tag of its job.
    """

    ids: list[str] = field(default_factory=list)
    jobs: dict[str, list[NewJob]] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Sent:
    """What the broker has confirmed: the ids of the jobs, and by place the jobs that were there already."""

    ids: list[str] = field(default_factory=list)
    existing: dict[int, str] = field(default_factory=dict)
    #: Task ids of items that made no job, with the id of the job that is there.
    instead: dict[str, str] = field(default_factory=dict)
    #: Places of items that are cancelled with a parent that is dead already.
    cancelled: list[int] = field(default_factory=list)


#: What the broker says of jobs that it has, or had.
_PLAIN = frozenset({"ready", "scheduled", "blocked", "duplicate"})


class Batch:
    """What all messages of a call have in common.

    Args:
        app: the Celery app.
        name: the task's name.
        producer: sends them.
        first: the first item; Celery builds its message.
        options: options of the call.
    """

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
        self._places: dict[str, int] = {}
        self._started: list[tuple[str, list[NewJob], Callable[[], Any] | None]] = []
        self._policy = {**app.conf.task_publish_retry_policy, **(self._options.get("retry_policy") or {})}
        # kombu connects by what stands here, and waits far longer where it finds nothing.
        producer.connection.transport_options.update(self._policy)

    def make(self, items: list[Item], places: Iterable[int] | None = None) -> Made:
        """Return the jobs of these items, which have these places in the call; nothing is sent.

        Raises:
            PublishError: an item is refused, or a member of the chain refuses it.
            TypeError: arguments that the task does not take.
        """
        hooks, count = chain().before_publish, len(items)
        made = Made()
        tags = new_tags(count)
        if places is not None:
            made.places.update(zip(tags, places, strict=True))
        for item, made_id, tag in zip(items, _task_ids(count), tags, strict=True):
            envelope = self._envelope(item, item.task_id or made_id)
            for hook in hooks:
                hook(envelope)
            header_of(envelope)
            template = self._template
            if template is None or not template.fits(envelope):
                template = self._template = self._write(envelope)
            jobs = made.jobs.get(envelope.queue)
            if jobs is None:
                jobs = made.jobs[envelope.queue] = []
            jobs.append(template.job(envelope, tag))
            made.ids.append(envelope.task_id)
        return made

    def start(self, made: Made) -> None:
        """Send what was made, one atomic step for each queue; `finish` has to be called then."""
        self._places = made.places
        recoverable = self._producer.connection.recoverable_connection_errors
        for queue, jobs in made.jobs.items():
            try:
                answer = self._producer.channel.store.send_jobs(queue, jobs)
            except recoverable:
                answer = None
            self._started.append((queue, jobs, answer))

    def finish(self, sent: Sent) -> None:
        """Wait for what was started; `sent` gets what the broker says of each step that it has confirmed.

        Raises:
            PublishError: a step was refused; nothing of it was enqueued.
            kombu's or redis-py's errors of a connection that stayed away: the first, after all were tried.
        """
        started, self._started = self._started, []
        failed: Exception | None = None
        for queue, jobs, answer in started:
            try:
                words = self._wait(queue, jobs, answer)
            except NotReplicated as error:
                failed = failed or error
                self._note(sent, jobs, list(error.words))
            except Exception as error:
                failed = failed or error
            else:
                self._note(sent, jobs, words)
        if failed is not None:
            raise failed

    def _note(self, sent: Sent, jobs: list[NewJob], words: list[str]) -> None:
        if _PLAIN.issuperset(words):
            sent.ids += [job.task_id for job in jobs]
            return
        for job, word in zip(jobs, words, strict=True):
            if word.startswith("existing "):
                there = word.removeprefix("existing ")
                sent.existing[self._places[job.tag]] = sent.instead[job.task_id] = there
            elif word == "cancelled":
                sent.cancelled.append(self._places[job.tag])
            else:
                sent.ids.append(job.task_id)

    def _wait(self, queue: str, jobs: list[NewJob], answer: Callable[[], Any] | None) -> list[str]:
        connection = self._producer.connection
        if answer is not None:
            try:
                words: list[str] = answer()
            except connection.recoverable_connection_errors:
                pass
            else:
                return words
        # Nobody knows whether the step was enqueued before the connection was lost; its tags tell the broker.
        repeated = [replace(job, repeated=True) for job in jobs]

        def put() -> list[str]:
            words: list[str] = self._producer.channel.store.enqueue(queue, repeated)
            return words

        found: list[str] = connection.ensure(self._producer, put, **one_try_less(self._policy))()
        return found

    def _write(self, envelope: Envelope) -> Template:
        if envelope.queue != self._queue:
            # A member moved it: to a queue that exists, or `UnknownQueue` is raised.
            self._amqp.queues[envelope.queue]
        return Template(self._app, self._producer, envelope, self._embed, self._options)

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
        if not (item.org is item.resource is item.deadline is item.after is item.unique_key is None):
            given = {key: getattr(item, key) for key in _OWN}
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


def _task_ids(count: int) -> Iterator[str]:
    # As `uuid4` makes them, with one call of the system for all: a third of what an id costs alone.
    text = os.urandom(16 * count).hex()
    for at in range(0, 32 * count, 32):
        one = text[at : at + 32]
        variant = "89ab"[int(one[16], 16) & 3]
        yield f"{one[:8]}-{one[8:12]}-4{one[13:16]}-{variant}{one[17:20]}-{one[20:]}"
