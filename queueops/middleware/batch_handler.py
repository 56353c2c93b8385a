"""Batch handlers: a task whose body gets many jobs at once, and says of each how it ended."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, fields
from time import monotonic
from types import TracebackType
from typing import Any

from celery.app import trace
from celery.app.task import Context
from celery.utils.nodenames import gethostname
from kombu.serialization import loads, prepare_accept_content

from queueops.errors import ConfigurationError
from queueops.middleware.org import org_context

__all__ = ["BatchJob", "Batching", "batch_job_of", "batching_of", "handle_batches", "run_together"]


@dataclass(frozen=True, slots=True)
class Batching:
    """How jobs of a task are gathered: `@shared_task(batch=Batching(size=100, seconds=2.0))`.

    Attributes:
        size: most jobs of a batch.
        seconds: how long the first job of a batch waits for others.
        per_org: whether a batch holds jobs of one org only; that org is then the ambient one in the body.
    """

    size: int = 100
    seconds: float = 1.0
    per_org: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or not 1 <= self.size <= 10_000:
            raise ConfigurationError(f"The size of a batch is 1 to 10,000 jobs, not {self.size!r}.")
        if not (math.isfinite(self.seconds) and 0 <= self.seconds <= 3_600):
            raise ConfigurationError(f"A batch waits 0 to 3,600 seconds, not {self.seconds!r}.")


class BatchJob:
    """One job of a batch. A job of which the body says nothing ends as the body does.

    Attributes:
        task_id: Celery's id.
        args, kwargs: its arguments.
        org, resource: whose it is, and what it uses.
        attempt: from 1.
        request: what Celery knows of it, as `task.request` of another task.
    """

    __slots__ = (
        *("args", "attempt", "kwargs", "org", "request", "resource", "run_seconds", "task_id"),
        *("_error", "_open", "_result", "_traceback"),
    )

    def __init__(self, request: Any, header: Mapping[str, Any], args: Any, kwargs: Any) -> None:
        self.task_id: str = request.id
        self.args, self.kwargs, self.request = tuple(args or ()), dict(kwargs or {}), request
        self.org: str = header.get("org") or ""
        self.resource: str = header.get("resource") or ""
        self.attempt = int(request.retries or 0) + 1
        #: Its part of the time that the batch took.
        self.run_seconds = 0.0
        self._open = True
        self._result: Any = None
        self._error: BaseException | None = None
        self._traceback: TracebackType | None = None

    @property
    def is_open(self) -> bool:
        """Whether nothing has said yet how it ends."""
        return self._open

    def succeed(self, result: Any = None) -> None:
        """End this job; `result` goes to the result backend, and to what follows it in a chain."""
        self._open, self._result, self._error = False, result, None

    def fail(self, error: BaseException) -> None:
        """Fail this job: it is retried by its policy, or becomes a dead letter, as if its body had raised."""
        self._open, self._error, self._traceback = False, error, error.__traceback__

    def end_with(self, error: BaseException | None) -> None:
        """End the job as the body ended, unless the body has said how."""
        if self._open:
            if error is None:
                self.succeed()
            else:
                self.fail(error)

    def outcome(self) -> Any:
        """Return the result, or raise the error."""
        if self._error is not None:
            # One error may end many jobs; each begins its traceback where the body raised it.
            raise self._error.with_traceback(self._traceback)
        return self._result


#: The job whose batch has run and that Celery's tracer ends now.
_ending: ContextVar[BatchJob | None] = ContextVar("queueops_batch_job", default=None)


def batch_job_of(request: Any) -> BatchJob | None:
    """Return the job of a batch that has run, if `request` ends one."""
    job = _ending.get()
    return job if job is not None and job.task_id == request.id else None


def batching_of(task: Any) -> Batching | None:
    """Return how the jobs of `task` are gathered; None for a task that gets one at a time.

    Raises:
        ConfigurationError: its option `batch` is none.
    """
    given = getattr(task, "batch", None)
    if given is None or isinstance(given, Batching):
        return given
    names = [field.name for field in fields(Batching)]
    if not isinstance(given, Mapping) or not set(given) <= set(names):
        raise ConfigurationError(f"batch of task {task.name} is a Batching, or a dict of {', '.join(names)}.")
    return Batching(**given)


def handle_batches(task: Any) -> None:
    """Keep the body of a batch task as its handler; in its place comes what ends one job after the batch."""
    if getattr(task.run, "__queueops__", False) or hasattr(task, "batch_handler"):
        return
    handler: Callable[[Sequence[BatchJob]], Any] = task.run

    def run(*args: Any, **kwargs: Any) -> Any:
        request = task.request_stack.top
        if request is None or request.called_directly:
            return handler(*args, **kwargs)
        job = batch_job_of(request)
        if job is None:
            # Eager, or a worker on another transport: a batch of one.
            job = BatchJob(request, (request.headers or {}).get("queueops") or {}, args, kwargs)
            _handle(task, [job])
        return job.outcome()

    task.batch_handler, task.run = handler, run
    # What the body takes is a list of jobs; what a job takes is the body's own affair.
    task.typing = False


def _handle(task: Any, jobs: list[BatchJob]) -> None:
    batching = batching_of(task)
    context = org_context(jobs[0].org or None) if batching and batching.per_org else nullcontext()
    error: Exception | None = None
    started = monotonic()
    try:
        with context:
            task.batch_handler(jobs)
    except Exception as raised:
        error = raised
    share = (monotonic() - started) / len(jobs)
    for job in jobs:
        job.run_seconds = share
        job.end_with(error)


def run_together(task: Any, messages: Sequence[tuple[Any, ...]]) -> list[tuple[int, Any, float]]:
    """Run a batch in the pool, then end each job by itself through Celery's own tracer.

    So results, callbacks, chains, retries and signals of each job are what they are for any task.

    Args:
        task: the batch task.
        messages: of each job its id, request, body, content type and content encoding.

    Returns:
        For each message what Celery's tracer returns of a run: whether it failed, the result, the seconds.
    """
    from queueops.middleware.plan import TaskPlan

    plan = TaskPlan(task.app, task.name, task)
    pairs = [_job(task, plan, _request(task, *message)) for message in messages]
    if jobs := [job for _, job in pairs if job.is_open]:
        _handle(task, jobs)
    return [_end(task, request, job) for request, job in pairs]


def _job(task: Any, plan: Any, request: dict[str, Any]) -> tuple[dict[str, Any], BatchJob]:
    from queueops.middleware.run import begin

    context = Context(request, called_directly=False)
    job = BatchJob(context, (context.headers or {}).get("queueops") or {}, context.args, context.kwargs)
    try:
        begun = begin(task, context, plan)
        job.args, job.kwargs = tuple(begun.args), begun.kwargs
    except Exception as error:
        job.fail(error)
    return request, job


def _request(task: Any, request: Any, body: Any, kind: str | None, encoding: str | None) -> dict[str, Any]:
    # As Celery's `trace_task_ret` makes it.
    embed: Mapping[str, Any] | None = None
    if kind:
        accept = prepare_accept_content(task.app.conf.accept_content)
        args, kwargs, embed = loads(body, kind, encoding, accept=accept)
    else:
        args, kwargs, embed = body
    known = {"args": args, "kwargs": kwargs, "hostname": request.get("hostname") or gethostname()}
    return {**request, **known, "is_eager": False, **(embed or {})}


def _end(task: Any, request: dict[str, Any], job: BatchJob) -> tuple[int, Any, float]:
    # Not by way of the request: what Celery does not know there it takes for a header of the next attempt.
    token = _ending.set(job)
    try:
        result, info, _, shown = trace.trace_task(
            task, job.task_id, request["args"], request["kwargs"], request, app=task.app
        )
    finally:
        _ending.reset(token)
    return (1, result, job.run_seconds) if info else (0, shown, job.run_seconds)
