"""The options that a task, or a call of it, may have beyond Celery's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from celery.result import AsyncResult

from queueops.engine.rules import priority as priorities
from queueops.engine.rules.backoff import RetryPolicy
from queueops.errors import ConfigurationError

if TYPE_CHECKING:
    from queueops.middleware.batch_handler import Batching

__all__ = [
    "CALL_OPTIONS",
    "CallOptions",
    "DeadlinePolicy",
    "KeyOf",
    "ParentDeath",
    "Parents",
    "ResourceOf",
    "TaskOptions",
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
