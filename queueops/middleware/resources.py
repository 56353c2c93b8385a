"""Which resources a project declares, and their limits: the settings, what apps register, and rates of tasks.

Rows in the database stand above these; the operations put them in by `use`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from celery import current_app

from queueops.conf import config
from queueops.engine.rules.gates import ResourceLimits
from queueops.engine.rules.resources import limits_of
from queueops.errors import ConfigurationError
from queueops.middleware.task_rates import task_rate, task_resource

if TYPE_CHECKING:
    from queueops.engine.store import Store

__all__ = ["Declared", "declared", "publish", "register", "use", "wanted"]

logger = logging.getLogger("queueops.limits")

#: Fields (`queueops.engine.rules.resources.FIELDS`) of a resource, each with its value and who says so.
Declared = dict[str, tuple[Any, str]]
Source = Callable[[Collection[str] | None], Mapping[str, Mapping[str, Any]]]

_sources: dict[str, Source] = {}


def register(name: str, source: Source) -> None:
    """Have the resources limited that `source` speaks of; the same `name` replaces.

    Args:
        name: who says so, shown beside each limit, as "webhook endpoints".
        source: returns flat fields (`queueops.engine.rules.resources.FIELDS`) by resource; it is given the
            names that are asked for, or None for all.
    """
    _sources[name] = source


def declared(names: Collection[str] | None = None) -> dict[str, Declared]:
    """Return what settings, registered sources and rates of tasks say of these resources, or of all."""
    found: dict[str, Declared] = {}
    for name, fields, source in _said(names):
        if names is not None and name not in names:
            continue
        one = found.setdefault(name, {})
        for field, value in fields.items():
            one.setdefault(field, (value, source))
    return found


def _said(names: Collection[str] | None) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    settings = config()
    for name, fields in settings.resources.items():
        yield name, fields, "settings QUEUEOPS"
    for source, read in list(_sources.items()):
        for name, fields in read(names).items():
            yield name, fields, source
    for task in current_app.tasks.values():
        try:
            per_minute = task_rate(task)
        except ConfigurationError as error:
            logger.warning("%s", error)
            continue
        if per_minute and not getattr(task, "resource", None):
            yield task_resource(task.name), {"rate": per_minute}, "rate_limit of the task"


def _without_rows() -> dict[str, ResourceLimits]:
    return {
        name: limits_of({field: said[0] for field, said in one.items()}) for name, one in declared().items()
    }


_wanted: Callable[[], Mapping[str, ResourceLimits]] = _without_rows


def use(provider: Callable[[], Mapping[str, ResourceLimits]]) -> None:
    """Take what is to be published from `provider`, which knows of rows too."""
    global _wanted
    _wanted = provider


def wanted() -> Mapping[str, ResourceLimits]:
    """Return the limits that the broker should hold, by resource."""
    return _wanted()


def publish(store: Store) -> int:
    """Publish them; return how many changed. What the broker holds beyond them is left alone.

    A database that is away is logged: a chore publishes again every half minute.
    """
    try:
        found = wanted()
    except Exception as error:
        logger.warning("The limits of resources are not published yet: %s", error)
        return 0
    return store.set_resources(found)
