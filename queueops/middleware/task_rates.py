"""A task's Celery `rate_limit`, as the rate of a resource of its own: for all workers together."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from celery.utils.time import rate as celery_rate

from queueops.engine.rules.values import NAME
from queueops.errors import ConfigurationError

__all__ = ["TASK_PREFIX", "task_rate", "task_resource"]

#: Resources that stand for a task's own `rate_limit`.
TASK_PREFIX = "task@"


def task_rate(task: Any) -> float:
    """Return the jobs a minute that a task's `rate_limit` allows; 0 is no limit, as in Celery.

    A number is jobs a second, as Celery reads it.

    Raises:
        ConfigurationError: Celery could not read it either.
    """
    given = getattr(task, "rate_limit", None)
    if not given or task.name.startswith("celery."):
        return 0.0
    try:
        return float(celery_rate(given)) * 60
    except (KeyError, TypeError, ValueError):
        raise ConfigurationError(
            f'Task {task.name} has rate_limit={given!r}; write "10/s", "100/m", "1000/h" or jobs a second.'
        ) from None


def task_resource(name: str) -> str:
    """Return the resource that carries the rate of the task `name`; no two tasks share one."""
    resource = TASK_PREFIX + name
    if NAME.fullmatch(resource):
        return resource
    # Too long, or with a character that no key may have: the beginning to read, a digest to tell it apart.
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{TASK_PREFIX}{re.sub(r'[^A-Za-z0-9._-]', '_', name)[:100]}-{digest}"
