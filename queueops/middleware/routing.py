"""Which queue a task goes to, and which queues there are."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from celery.app.amqp import Queues as CeleryQueues
from celery.exceptions import ImproperlyConfigured
from kombu.entity import Exchange, Queue

from queueops.conf import config
from queueops.errors import UnknownQueue

__all__ = ["Queues", "Routes", "declared"]


class Queues(CeleryQueues):
    """Celery's queues; a name that nobody declared is refused instead of made up.

    With `task_create_missing_queues = True` in the project's Celery settings it is made up, as in stock.
    """

    def __missing__(self, name: str) -> Queue:
        if self.create_missing:
            made: Queue = super().__missing__(name)
            return made
        raise UnknownQueue(name, self)

    def select(self, include: Any) -> None:
        """Choose the queues a worker serves (`-Q`)."""
        try:
            super().select(include)
        except UnknownQueue as exc:
            # What the worker's command line knows how to show without a traceback.
            raise ImproperlyConfigured(str(exc)) from exc


def declared(conf: Any) -> list[Queue]:
    """Return the queues of QUEUEOPS["QUEUES"] and the default queue of the Celery settings `conf`.

    A project that names another default queue and declares no queues has that one alone: it is a plain
    Celery project, whose worker would not expect to serve queues it has never heard of.
    """
    settings = config()
    default = conf.task_default_queue
    names = dict.fromkeys((*settings.queues, default))
    if default not in settings.queues and settings.source("QUEUES") == "default":
        names = {default: None}
    return [_queue(name) for name in names]


def _queue(name: str) -> Queue:
    # As stock makes a missing one, so that both see the same declaration.
    return Queue(name, Exchange(name, "direct"), name)


class Routes:
    """QUEUEOPS["ROUTES"] as a Celery router: task names and globs to queues, the exact name first."""

    def __init__(self) -> None:
        self._routes: Mapping[str, str] | None = None
        self._found: dict[str, str | None] = {}

    def __call__(self, name: str, *_: Any, **__: Any) -> dict[str, str] | None:
        """Return the route of the task `name`, None where no pattern fits."""
        routes = config().routes
        if routes is not self._routes:
            self._routes, self._found = routes, {}
        try:
            queue = self._found[name]
        except KeyError:
            queue = self._found[name] = routes.get(name) or next(
                (queue for glob, queue in routes.items() if fnmatchcase(name, glob)), None
            )
        return None if queue is None else {"queue": queue}
