"""Celery's consumer bootstep host, with leases: a reconnect drops nothing, and no message vanishes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.exceptions import InvalidTaskError
from celery.utils.log import get_logger
from celery.worker import state
from celery.worker.consumer import Consumer as StockConsumer
from kombu.exceptions import ContentDisallowed, DecodeError

from queueops.engine.rules.states import Reason
from queueops.middleware import rate_control as rate_control  # registers its command
from queueops.middleware import worker
from queueops.middleware import worker_control as worker_control  # registers its commands
from queueops.middleware.autoscale import Keeper
from queueops.middleware.dead_letter import detail

logger = get_logger(__name__)


class Consumer(StockConsumer):
    """Receives messages of the engine; messages of another transport take Celery's own path."""

    #: Keeps the number of the pool's slots; None with another transport.
    keeper: Keeper | None = None

    def create_task_handler(self, **_: Any) -> Callable[[Any], None]:
        """Return the callback for a message: find the task's strategy; what can not run becomes a dead
        letter.
        """
        strategies, callbacks = self.strategies, self.on_task_message
        foreign = super().create_task_handler()

        def on_task_received(message: Any) -> None:
            if getattr(message.channel, "holder", None) is None:
                foreign(message)
                return
            try:
                handler = strategies[message.headers["task"]]
            except (TypeError, KeyError):
                self._without_strategy(message)
                return
            try:
                handler(message, None, None, None, callbacks)
            except (InvalidTaskError, ContentDisallowed, DecodeError) as error:
                self.on_decode_error(message, error)

        return on_task_received

    def _without_strategy(self, message: Any) -> None:
        headers = message.headers if isinstance(message.headers, dict) else {}
        name = headers.get("task")
        if not name:
            self.on_decode_error(
                message,
                InvalidTaskError("the message is not one of Celery's protocol 2: it has no header 'task'"),
            )
            return
        self._bury(message, Reason.UNKNOWN_TASK, KeyError(f"no task {name!r} is registered in this worker"))
        self.on_unknown_task(None, message, KeyError(name))

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """Bury a message that can not be read; stock acknowledges it, and it is gone."""
        if getattr(message.channel, "holder", None) is None:
            super().on_decode_error(message, exc)
            return
        logger.critical(
            "Message %s can not be decoded and becomes a dead letter: %r", message.delivery_tag, exc
        )
        self._bury(message, Reason.UNDECODABLE, exc)

    def _bury(self, message: Any, reason: str, error: BaseException) -> None:
        letter = detail(reason, error=error, worker=self.hostname)
        message.channel.holder.settle(message.delivery_tag, "dead", 0.0, letter)
        message.reject_log_error = _done  # Celery's own path would settle it again, with less to tell

    def cancel_task_queue(self, queue: str) -> None:
        """Stop consuming from ``queue``; what was claimed ahead from it goes back."""
        super().cancel_task_queue(queue)
        if holder := getattr(self.task_consumer.channel, "holder", None):
            holder.give_back_queue(self.app.amqp.queues.aliases.get(queue, queue))

    def shutdown(self) -> None:
        """End for good, after the pool: send what waits, give back what is left, strike the process off."""
        super().shutdown()
        worker.leave()

    def on_close(self) -> None:
        """Forget what is reserved only at shutdown: after a reconnect the pool still has it, and we its
        lease.
        """
        if state.should_stop is not None or state.should_terminate is not None:
            super().on_close()


def _done(*_: Any, **__: Any) -> None:
    """Stand in for a rejection that was made already."""
