"""The chain of middleware: what a member can see and change of a publish and of a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from celery.utils.imports import symbol_by_name

from queueops.conf import Config, config
from queueops.engine.rules.states import OutcomeKind
from queueops.errors import ConfigurationError, PublishError

if TYPE_CHECKING:
    from queueops.middleware.plan import TaskPlan

__all__ = ["MEMBER_OPTIONS", "Chain", "Envelope", "Job", "Middleware", "Outcome", "chain"]

logger = logging.getLogger("queueops.middleware")

#: Members that are there when spans are wanted: around all others in a run, after all others in a publish.
TRACING = ("queueops.middleware.tracing.Runs", "queueops.middleware.tracing.Publishes")

#: Options that must not be passed over in silence where the chain lacks their member: a job that is not
#: unique, or does not wait, does harm.
MEMBER_OPTIONS = frozenset(
    {"after", "keep_for", "offload", "on_parent_death", "unique", "unique_for", "unique_key"}
)


@dataclass(slots=True)
class Envelope:
    """A message on its way to the broker. Members may change what is not marked as given.

    Attributes:
        task: the task's name (given).
        task_id: Celery's id (given).
        queue: name of the queue; another one must be declared too.
        org, resource: names; "" means not decided yet for the org, none for the resource.
        priority: 0 (sooner) to 10 (later).
        deadline_ms: ms since the epoch by which the job should have run; 0 is none.
        once: never run twice, not even when its worker is lost.
        is_retry: the same job for another attempt; what was decided at first stays (given).
        args, kwargs: the task's arguments, not copied: put others in place, do not change them.
        headers: Celery's headers of the message.
        properties: AMQP properties of the message.
        options: what the caller passed to `apply_async` beyond Celery's own options.
        header: what queueops itself sends along; a member may add keys of its own that JSON can hold.
        plan: what the task says about itself.
    """

    task: str
    task_id: str
    queue: str
    org: str
    resource: str
    priority: int
    deadline_ms: int
    once: bool
    is_retry: bool
    args: Any
    kwargs: Any
    headers: dict[str, Any]
    properties: dict[str, Any]
    options: dict[str, Any]
    header: dict[str, Any]
    plan: TaskPlan


@dataclass(slots=True)
class Job:
    """A job that runs. `attempt` counts from 1; `request` is Celery's `task.request`.

    `before_run` may put other `args` and `kwargs` in place: the body gets those. `run_ms`: how long a failed
    attempt ran, in milliseconds; 0 before its end.
    """

    task: Any
    request: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    header: Mapping[str, Any]
    plan: TaskPlan
    run_ms: float = 0.0

    @property
    def name(self) -> str:
        """The task's name."""
        return str(self.task.name)

    @property
    def task_id(self) -> str:
        """Celery's id of the task."""
        return str(self.request.id)

    @property
    def org(self) -> str:
        """The org the job belongs to."""
        return str(self.header.get("org") or config().default_org)

    @property
    def resource(self) -> str:
        """The resource it uses, "" for none."""
        return str(self.header.get("resource") or "")

    @property
    def queue(self) -> str:
        """The queue it came from."""
        return str((self.request.delivery_info or {}).get("routing_key") or "")

    @property
    def attempt(self) -> int:
        """The number of this run, from 1."""
        return int(self.request.retries) + 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        kind: succeeded, retried, dead or cancelled.
        run_ms: milliseconds in the task's body.
        error: the exception, None for a success.
        delay_seconds: for a retry, the seconds until the next attempt.
    """

    kind: OutcomeKind
    run_ms: float
    error: BaseException | None = None
    delay_seconds: float | None = None


class Middleware:
    """Base class of a member. Only hooks that a member overrides are called for it.

    Members are made once a process, without arguments. The order of QUEUEOPS["MIDDLEWARE"] is the order of
    `before_*`; `after_run` goes backwards, as in Django.
    """

    #: The outcomes that `after_run` wants to see; None is all. Leaving out successes keeps them fast.
    outcomes: ClassVar[frozenset[OutcomeKind] | None] = None
    #: Keys of the header whose jobs `before_run` wants to see; None is every job. Others are kept fast.
    run_marks: ClassVar[frozenset[str] | None] = None
    #: Options of a call that do nothing without this member, of those in `MEMBER_OPTIONS`.
    options: ClassVar[frozenset[str]] = frozenset()

    def before_publish(self, envelope: Envelope) -> None:
        """Change the envelope, or raise to refuse the publish."""

    def publish_refused(self, envelope: Envelope, error: PublishError) -> None:
        """Undo what `before_publish` did outside: the broker has refused the first publish of a job.

        Called for one publish at a time, not for those of `enqueue_many`.
        """

    def before_run(self, job: Job) -> None:
        """Look at the job before its body; what is raised here is the run's error."""

    def on_error(self, job: Job, error: Exception) -> Exception | None:
        """Return the exception to go on with instead of `error` (a Celery `Retry` for another attempt)."""

    def after_run(self, job: Job, outcome: Outcome) -> None:
        """Look at the outcome. What is raised here is logged and changes nothing."""

    def worker_started(self, store: Any) -> None:
        """Called once in a worker's main process when it is connected; `store` is the engine's Store."""


class Chain:
    """The members of one configuration, sorted by the hooks they override."""

    __slots__ = (
        "after_failure",
        "after_success",
        "before_publish",
        "before_run",
        "config",
        "members",
        "on_error",
        "publish_refused",
        "run_marks",
        "unhandled",
    )

    def __init__(self, settings: Config) -> None:
        self.config = settings
        paths = settings.middleware
        if settings.tracing:
            first, last = TRACING
            paths = (first, *(path for path in paths if path not in TRACING), last)
        self.members = tuple(_make(path) for path in paths)
        #: Options that no member handles: a call that has one is refused.
        self.unhandled = MEMBER_OPTIONS.difference(*(member.options for member in self.members))
        self.before_publish: tuple[Callable[[Envelope], None], ...] = self._hooks("before_publish")
        self.publish_refused: tuple[Callable[[Envelope, PublishError], None], ...] = self._hooks(
            "publish_refused"
        )
        self.before_run: tuple[Callable[[Job], None], ...] = self._hooks("before_run")
        marks = [member.run_marks for member in self.members if _overrides(member, "before_run")]
        self.run_marks = None if None in marks else frozenset[str]().union(*(m for m in marks if m))
        self.on_error: tuple[Callable[[Job, Exception], Exception | None], ...] = self._hooks("on_error")
        after = [member for member in reversed(self.members) if _overrides(member, "after_run")]
        self.after_success = tuple(member for member in after if _wants(member, success=True))
        self.after_failure = tuple(member for member in after if _wants(member, success=False))

    def _hooks(self, name: str) -> tuple[Any, ...]:
        return tuple(getattr(member, name) for member in self.members if _overrides(member, name))

    def concerns(self, request: Any) -> bool:
        """Whether a member wants to see this job before it runs."""
        if self.run_marks is None:
            return True
        header = (request.headers or {}).get("queueops") or {}
        return not self.run_marks.isdisjoint(header)

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Tell the members how a run ended."""
        success = outcome.kind is OutcomeKind.SUCCEEDED
        for member in self.after_success if success else self.after_failure:
            if member.outcomes is None or outcome.kind in member.outcomes:
                try:
                    member.after_run(job, outcome)
                except Exception:
                    # The run is over and its outcome known; a member that only looks cannot change it.
                    logger.exception("after_run of %r failed for %s[%s]", member, job.name, job.task_id)

    def worker_started(self, store: Any) -> None:
        """Tell the members that a worker's main process has connected."""
        for member in self.members:
            member.worker_started(store)


def _make(path: str) -> Middleware:
    try:
        member = symbol_by_name(path)()
    except (ImportError, AttributeError, TypeError) as exc:
        raise ConfigurationError(
            f'QUEUEOPS["MIDDLEWARE"] names {path!r}, which cannot be made: {exc}'
        ) from exc
    if not isinstance(member, Middleware):
        raise ConfigurationError(f'QUEUEOPS["MIDDLEWARE"] names {path!r}, which is no queueops Middleware.')
    return member


def _overrides(member: Middleware, hook: str) -> bool:
    return getattr(type(member), hook) is not getattr(Middleware, hook)


def _wants(member: Middleware, *, success: bool) -> bool:
    wanted = member.outcomes
    if wanted is None:
        return True
    return OutcomeKind.SUCCEEDED in wanted if success else bool(wanted - {OutcomeKind.SUCCEEDED})


_current: Chain | None = None


def chain() -> Chain:
    """Return the chain of the current configuration; the same one until the configuration changes."""
    global _current
    settings = config()
    current = _current
    if current is None or current.config is not settings:
        current = _current = Chain(settings)
    return current
