"""Which queue a task goes to, and which queues there are."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from celery.app.amqp import Queues as CeleryQueues
from celery.app.routes import Router as CeleryRouter
from celery.exceptions import ImproperlyConfigured
from kombu.entity import Exchange, Queue

from queueops.conf import config
from queueops.errors import UnknownQueue

__all__ = ["Queues", "Router", "Routes", "declared"]


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


class Router(CeleryRouter):
    """Celery's router, shorter where only QUEUEOPS["ROUTES"] can say something."""

    def route(
        self,
        options: dict[str, Any],
        name: str,
        args: Any = (),
        kwargs: Any = None,
        task_type: Any = None,
    ) -> dict[str, Any]:
        """Return `options` with the queue: of the call, the task, a route, or the default one."""
        ours = self.routes[0]
        if len(self.routes) != 1 or type(ours) is not Routes:
            routed: dict[str, Any] = super().route(options, name, args, kwargs, task_type)
            return routed
        routed = {key: value for key, value in options.items() if value is not None}
        queue = routed.get("queue") or ours.queue(name)
        if queue is None:
            if "exchange" in routed:
                return routed
            queue = self.app.amqp.default_queue
        routed["queue"] = self.queues[queue] if type(queue) is str else queue
        return routed


class Routes:
    """QUEUEOPS["ROUTES"] as a Celery router: task names and globs to queues, the exact name first."""

    def __init__(self) -> None:
        self._routes: Mapping[str, str] | None = None
        self._found: dict[str, str | None] = {}

    def __call__(self, name: str, *_: Any, **__: Any) -> dict[str, str] | None:
        """Return the route of the task `name`, None where no pattern fits."""
        queue = self.queue(name)
        return None if queue is None else {"queue": queue}

    def queue(self, name: str) -> str | None:
        """Return the queue of the task `name`, None where no pattern fits."""
        routes = config().routes
        if routes is not self._routes:
            self._routes, self._found = routes, {}
        try:
            queue = self._found[name]
        except KeyError:
            queue = self._found[name] = routes.get(name) or next(
                (queue for glob, queue in routes.items() if fnmatchcase(name, glob)), None
            )
        return queue
