"""What a task says about itself, read once from its attributes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from celery import Celery
from celery.utils.imports import symbol_by_name

from queueops.engine.rules import priority as priorities
from queueops.engine.rules.backoff import DEFAULT_POLICIES, RetryPolicy, policy_from
from queueops.errors import ConfigurationError
from queueops.middleware.options import DeadlinePolicy, KeyOf, ResourceOf, replicas
from queueops.middleware.task_rates import task_rate, task_resource

__all__ = ["TaskPlan"]


class TaskPlan:
    """What a task says about itself, read once and kept while the registry holds the same task.

    Attributes:
        task: the registered task, None for a name this process does not know.
        ours: whether queueops decides about it; Celery's own `celery.*` tasks are only given their org.
        org_argument: name and position of the argument that holds the org.
    """

    __slots__ = (
        "_attempts",
        "deadline",
        "deadline_policy",
        "default_priority",
        "durable",
        "keep_for",
        "name",
        "offload",
        "on_parent_death",
        "once",
        "org",
        "org_argument",
        "ours",
        "resource",
        "run_limit",
        "scale",
        "task",
        "unique",
        "unique_for",
        "unique_key",
    )

    def __init__(self, app: Celery, name: str, task: Any) -> None:
        self.name = name
        self.task = task
        self.ours = not name.startswith("celery.")
        self.org: str | None = getattr(task, "org", None)
        self.org_argument = _argument(task, getattr(task, "org_from", None))
        self.resource: str | ResourceOf = _resource(name, task)
        self.scale: str | None = getattr(task, "scale", None)
        given = getattr(task, "priority", None)
        self.default_priority = priorities.parse(given, self.scale)
        self.deadline = getattr(task, "deadline", None)
        self.deadline_policy: DeadlinePolicy | None = getattr(task, "deadline_policy", None)
        self._attempts = _attempts(task)
        # A policy that cannot be is said now, not when the first job has failed.
        self.policy(DEFAULT_POLICIES["standard"])
        #: Seconds; None is no limit, "queue" the limit of the queue it is sent to.
        self.run_limit: float | Literal["queue"] | None = getattr(task, "run_limit", "queue")
        self.unique: bool = bool(getattr(task, "unique", False))
        self.unique_key: str | KeyOf | None = _own(task, "unique_key")
        self.unique_for = getattr(task, "unique_for", None)
        self.keep_for = getattr(task, "keep_for", None)
        self.on_parent_death = getattr(task, "on_parent_death", None)
        self.offload: bool = bool(getattr(task, "offload", False))
        self.durable = replicas(getattr(task, "durable", False))
        acks_late = getattr(task, "acks_late", None)
        late = app.conf.task_acks_late if acks_late is None else acks_late
        self.once = self.is_once(getattr(task, "delivery", None), not late)

    def is_once(self, delivery: Any, default: bool | None = None) -> bool:
        """Whether a job with this `delivery` must never run twice; None leaves it as the task says."""
        if delivery is None:
            return self.once if default is None else default
        if delivery not in ("at_least_once", "at_most_once"):
            raise ConfigurationError(f'delivery is "at_least_once" or "at_most_once", not {delivery!r}.')
        return bool(delivery == "at_most_once")

    def resource_for(self, given: str | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Return the resource of a job with these arguments, unchecked; `given` is what its call says."""
        if given is not None:
            return given
        return self.resource if isinstance(self.resource, str) else self.resource(args, kwargs) or ""

    def policy(self, base: RetryPolicy) -> RetryPolicy:
        """Return the task's retry policy, which is its queue's where it says nothing."""
        return policy_from(self._attempts, base) if self._attempts else base


def _own(task: Any, name: str) -> Any:
    # A function given to the decorator is an attribute of the task's class, and so looks like its method.
    value = getattr(task, name, None)
    return value.__func__ if inspect.ismethod(value) and value.__self__ is task else value


def _resource(name: str, task: Any) -> str | ResourceOf:
    given = getattr(task, "resource", None)
    if isinstance(given, str) and ":" in given:
        try:
            given = symbol_by_name(given)
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(
                f"Task {name} has resource={given!r}, which cannot be imported: {error}"
            ) from error
    if inspect.ismethod(given) and given.__self__ is task and _takes_two(given.__func__):
        # Celery makes the options of a task attributes of its class, where a function becomes a method.
        given = given.__func__
    if not given and task_rate(task):
        return task_resource(name)
    if given is None or isinstance(given, str) or callable(given):
        return given or ""
    raise ConfigurationError(f"Task {name} has resource={given!r}; it is a name or a function.")


def _takes_two(function: Any) -> bool:
    return len(inspect.signature(function).parameters) == 2


def _attempts(task: Any) -> dict[str, Any]:
    given = getattr(task, "retry_policy", None)
    own = asdict(given) if isinstance(given, RetryPolicy) else dict(given or ())
    if getattr(task, "attempts", None) is not None:
        own["attempts"] = task.attempts
    return own


def _argument(task: Any, name: str | None) -> tuple[str, int | None] | None:
    if name is None:
        return None
    if getattr(task, "batch", None) is not None:
        # The body takes a list of jobs; only a name can tell an argument of one of them.
        return name, None
    try:
        signature = inspect.signature(getattr(task, "__wrapped__", None) or task.run)
    except (TypeError, ValueError):
        return name, None
    parameters = [p for p in signature.parameters.values() if p.name != "self"]
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    accepts_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    if name not in signature.parameters and not accepts_any:
        raise ConfigurationError(f"Task {task.name} has org_from={name!r}, but no argument of that name.")
    return name, positional.index(name) if name in positional else None
