"""A job as a publish would make it, made without the broker: to be put into its queue later, by whoever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from celery import Celery, current_app
from celery.app.task import Task
from kombu.exceptions import OperationalError
from kombu.messaging import Producer

from queueops.engine.rules.envelope import NewJob
from queueops.errors import BrokerUnavailable, ConfigurationError
from queueops.middleware.batch import Batch
from queueops.middleware.client import Item
from queueops.middleware.publish import AMQP, unavailable
from queueops.transport.channel import Channel

__all__ = ["Draft", "draft", "put"]


class Draft(NamedTuple):
    """A job and the queue it goes to."""

    queue: str
    job: NewJob


def draft(
    task: Task | str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None,
    options: Mapping[str, Any],
    *,
    app: Celery | None = None,
    tag: str = "",
) -> Draft:
    """Return the job that `task.apply_async(args, kwargs, **options)` would publish here and now.

    Everything is decided now: queue, org, times, task id and tag. No publish signals are sent.

    Args:
        tag: what the broker knows a repetition by; made up where it is empty.

    Raises:
        PublishError: the job is refused (unknown queue, bad name, too large).
        TypeError: arguments that the task does not take.
    """
    name = task if isinstance(task, str) else task.name
    used = app_of(task, app)
    if not isinstance(used.amqp, AMQP):
        raise ConfigurationError("queueops drafts jobs of an app that queueops.install has seen.")
    given = dict(options)
    item = Item(args, kwargs or {}, task_id=given.pop("task_id", None))
    made = Batch(used, name, _unconnected(used), item, given).make([item])
    [(queue, [job])] = made.jobs.items()
    if tag:
        # The tag that was made up is unique, so that it stands in the message only where a tag belongs.
        job = replace(job, tag=tag, message=job.message.replace(job.tag, tag))
    return Draft(queue, job)


def put(drafted: Draft, *, app: Celery | None = None) -> str:
    """Put a drafted job into its queue and return the broker's word; a job that is there already stays one.

    Raises:
        BrokerUnavailable: the broker did not take it.
        PublishError: the broker refuses it.
    """
    used: Celery = app or current_app
    job = replace(drafted.job, repeated=True)
    policy = used.conf.task_publish_retry_policy
    with used.producer_or_acquire() as producer:
        connection = producer.connection
        # kombu connects by what stands here, and waits far longer where it finds nothing.
        connection.transport_options.update(policy)

        def enqueue() -> list[str]:
            words: list[str] = producer.channel.store.enqueue(drafted.queue, [job])
            return words

        try:
            [word] = connection.ensure(producer, enqueue, **policy)()
        except BrokerUnavailable:
            raise
        except (OperationalError, *connection.recoverable_connection_errors) as error:
            raise unavailable(connection, error) from error
    return str(word)


def app_of(task: Task | str, app: Celery | None) -> Celery:
    """Return the app that publishes `task`: the one given, the task's own, or the current one."""
    found: Celery = app or (current_app if isinstance(task, str) else task._get_app())
    return found


class _Pen(Channel):
    """What a channel does to a message before it is sent; it never connects."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        # Not the channel's own constructor: that one looks for the broker.
        for name in ("body_encoding", "max_payload_bytes"):
            if name in options:
                setattr(self, name, options[name])


def _unconnected(app: Celery) -> Producer:
    producer = Producer(None, auto_declare=False)
    producer._channel = _Pen(app.conf.broker_transport_options or {})
    producer.__connection__ = app.connection_for_write()
    return producer
