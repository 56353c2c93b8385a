"""What a task, or a call of it, may say beyond Celery's own options, and what that comes to."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from celery import Celery
from celery.result import AsyncResult
from celery.utils.imports import symbol_by_name

from queueops.engine.rules import priority as priorities
from queueops.engine.rules.backoff import DEFAULT_POLICIES, RetryPolicy, policy_from
from queueops.errors import ConfigurationError
from queueops.middleware.task_rates import task_rate, task_resource

if TYPE_CHECKING:
    from queueops.middleware.batch_handler import Batching

__all__ = [
    "CALL_OPTIONS",
    "CallOptions",
    "Parents",
    "ResourceOf",
    "TaskOptions",
    "TaskPlan",
    "replicas",
    "span_ms",
]

#: Says from a job's args and kwargs which resource it uses; "" or None is none.
ResourceOf: TypeAlias = Callable[[Sequence[Any], Mapping[str, Any]], str | None]
#: Says from a job's args and kwargs which unique key it has; "" or None is none.
KeyOf: TypeAlias = Callable[[Sequence[Any], Mapping[str, Any]], str | None]
#: What a job waits for: a task id, a result, or several of them.
Parents: TypeAlias = str | AsyncResult | Iterable[str | AsyncResult]
#: What becomes of a job whose parent died or was cancelled.
ParentDeath: TypeAlias = Literal["wait", "cancel"]
#: What becomes of a job whose turn comes after its deadline.
DeadlinePolicy: TypeAlias = Literal["run", "expire"]

#: Longest time that Redis is asked to remember something for.
_LONGEST_SECONDS = 366 * 86_400


class TaskOptions(TypedDict, total=False):
    """Options of `@shared_task` that queueops reads, as in `@shared_task(**TaskOptions(org_from="org_id"))`.

    org: the org of every job of this task. org_from: the argument that holds the org.
    resource: the outside thing the task uses: its name, a function of (args, kwargs) that returns the name,
    or the function's place as "package.module:function". priority: 0..10, a name, or on `scale`.
    delivery: "at_most_once" for a task that must not run twice.
    deadline: seconds from the publish. deadline_policy: a job that is late is "run", or "expire"s: it becomes
    a dead letter; by default as its queue says. run_limit: seconds an attempt may take; 0 or None is none.
    attempts, retry_policy, no_retry: see docs/guarantees.md.
    breaker_errors, breaker_ignores: which exceptions count against the resource, see docs/resources.md.
    unique: one job at a time for the same arguments. unique_key: the same for a name, or for what a function
    of the arguments returns (None: not unique). unique_for: seconds that it holds, instead of as long as the
    job lives. keep_for: seconds that jobs which wait for this one may come after its end.
    on_parent_death: "cancel" a job whose parent died, or let it "wait". offload: store large arguments aside.
    durable: an enqueue returns when a replica (or so many) has the job too.
    batch: the body gets many jobs at once, see docs/batches.md.
    """

    org: str
    org_from: str
    resource: str | ResourceOf
    priority: int | str | priorities.Priority
    scale: Literal["1-10"]
    delivery: Literal["at_least_once", "at_most_once"]
    deadline: float | timedelta
    deadline_policy: DeadlinePolicy
    run_limit: float | None
    attempts: int
    retry_policy: RetryPolicy | dict[str, Any]
    no_retry: tuple[type[BaseException], ...]
    batch: Batching | dict[str, Any]
    breaker_errors: tuple[type[BaseException], ...]
    breaker_ignores: tuple[type[BaseException], ...]
    unique: bool
    unique_key: str | KeyOf
    unique_for: float | timedelta
    keep_for: float | timedelta
    on_parent_death: ParentDeath
    offload: bool
    durable: bool | int


class CallOptions(TypedDict, total=False):
    """Options of `apply_async` and `enqueue_many` that queueops reads; they win over the task's.

    after: task ids or results of jobs that must have succeeded first. The others are described in
    docs/options.md. A deadline, run_limit, keep_for or unique_for of 0, or a resource of "", takes the
    task's away: Celery drops options that are None.
    """

    org: str
    resource: str
    priority: int | str | priorities.Priority
    scale: Literal["1-10"]
    delivery: Literal["at_least_once", "at_most_once"]
    deadline: float | timedelta | datetime
    deadline_policy: DeadlinePolicy
    run_limit: float
    attempts: int
    retry_policy: RetryPolicy | dict[str, Any]
    after: Parents
    on_parent_death: ParentDeath
    keep_for: float | timedelta
    unique: bool
    unique_key: str
    unique_for: float | timedelta
    offload: bool
    durable: bool | int


#: Options that are taken out of a call before Celery would send them as message properties.
CALL_OPTIONS = frozenset(CallOptions.__annotations__) - {"priority", "retry_policy"}


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


def span_ms(option: str, value: float | timedelta | None) -> int:
    """Return a span in ms; 0 for None and for 0.

    Raises:
        ConfigurationError: it is not a number of seconds or a timedelta, negative, or longer than a year.
    """
    if not value:
        return 0
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        or not math.isfinite(seconds)
        or not 0 < seconds <= _LONGEST_SECONDS
    ):
        raise ConfigurationError(f"{option} is a number of seconds up to a year, not {value!r}.")
    return max(1, round(seconds * 1000))


def replicas(durable: Any) -> int:
    """Return how many replicas an enqueue waits for, of an option `durable`.

    Raises:
        ConfigurationError: it is neither a truth value nor a number of replicas.
    """
    if not isinstance(durable, int) or durable < 0:
        raise ConfigurationError(f"durable is True, False or a number of replicas, not {durable!r}.")
    return int(durable)


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
