"""Wraps the body of every task: hooks before, retry on an error, hooks after."""

from __future__ import annotations

import logging
from datetime import datetime
from functools import wraps
from time import perf_counter
from typing import Any

from celery import Celery
from celery.app.autoretry import add_autoretry_behaviour
from celery.app.registry import TaskRegistry
from celery.exceptions import Ignore, Reject
from celery.exceptions import Retry as CeleryRetry

from queueops.engine.rules.states import OutcomeKind
from queueops.middleware.batch_handler import batch_job_of, batching_of, handle_batches
from queueops.middleware.chain import Chain, Job, Outcome, chain
from queueops.middleware.dead_letter import Cancelled
from queueops.middleware.offload import accept_reference
from queueops.middleware.plan import TaskPlan

__all__ = ["failed_elsewhere", "install", "wrap"]

logger = logging.getLogger("queueops.middleware")


def install(app: Celery) -> None:
    """Wrap the tasks of `app` when it is finalised, and each one that is registered after that."""
    if type(app._tasks) is TaskRegistry:
        app._tasks = _Registry(app, app._tasks)
    app.on_after_finalize.connect(_wrap_all, sender=app, weak=False, dispatch_uid="queueops")
    if app.finalized:
        _wrap_all(app)


class _Registry(TaskRegistry):
    """Celery's registry: the one place that every way of making a task passes."""

    def __init__(self, app: Celery, tasks: dict[str, Any]) -> None:
        super().__init__(tasks)
        self._app = app

    def __setitem__(self, name: str, task: Any) -> None:
        super().__setitem__(name, task)
        # Also for an app that only sends and is never finalised: what a job takes is not what the body takes.
        if batching_of(task) is not None:
            handle_batches(task)
        if self._app.finalized:
            wrap(self._app, task)


def _wrap_all(sender: Celery, **_: Any) -> None:
    for task in list(sender._tasks.values()):
        wrap(sender, task)


def wrap(app: Celery, task: Any) -> None:
    """Put the chain around `task.run`; `celery.*` tasks and a task that has it already stay as they are.

    A call of the task's body by hand (`task(1)`, `task.run(1)`, `apply`) is not a job and passes untouched.
    """
    if batching_of(task) is not None:
        handle_batches(task)
    # First Celery's own wrapper, so that ours is the outer one and sees the retry that it decides on.
    add_autoretry_behaviour(task)
    body = task.run
    if task.name.startswith("celery.") or getattr(body, "__queueops__", False):
        return
    plan: TaskPlan | None = None

    @wraps(body)
    def run(*args: Any, **kwargs: Any) -> Any:
        request = task.request_stack.top
        if request is None or request.called_directly or request.is_eager:
            return body(*args, **kwargs)
        if not (task.ignore_result or request.ignore_result):
            request.meta = _kept_with_result(request)
        members = chain()
        # The batch that the job was part of has run already, its hooks before that.
        batch_job = batch_job_of(request)
        started = perf_counter() - (batch_job.run_seconds if batch_job else 0.0)
        job: Job | None = None
        try:
            if members.before_run and batch_job is None and members.concerns(request):
                job = make_job()
                given, named = job.args, job.kwargs
                for hook in members.before_run:
                    hook(job)
                # Only what a member has changed: a task's own `__call__` may have passed other arguments on.
                if job.args is not given or job.kwargs is not named:
                    args, kwargs = job.args, job.kwargs
            result = body(*args, **kwargs)
        except Exception as error:
            answer = _failed(members, job or make_job(), error, perf_counter() - started)
            if answer is error:
                raise
            raise answer from error
        if members.after_success:
            run_ms = (perf_counter() - started) * 1000
            members.ended(job or make_job(), Outcome(OutcomeKind.SUCCEEDED, run_ms))
        return result

    def make_job() -> Job:
        nonlocal plan
        if plan is None:
            plan = TaskPlan(app, task.name, task)
        return _job(task, task.request_stack.top, plan)

    run.__queueops__ = True  # type: ignore[attr-defined]
    task.run = run
    accept_reference(task)


def begin(task: Any, context: Any, plan: TaskPlan) -> Job:
    """Call the hooks before a run that other code makes, a batch's; return the job as they have left it.

    Args:
        task: the registered task.
        context: `celery.app.task.Context` of the request, with `args`, `kwargs` and `delivery_info`.
        plan: what the task says about itself.

    Raises:
        whatever a hook raises; it is the run's error.
    """
    job = _job(task, context, plan)
    for hook in chain().before_run:
        hook(job)
    return job


def _kept_with_result(request: Any) -> dict[str, Any]:
    # django-celery-results writes `request.meta` into the column of this name.
    header = (request.headers or {}).get("queueops") or {}
    info = request.delivery_info or {}
    return {"org": header.get("org"), "queue": info.get("queue") or info.get("routing_key")}


def failed_elsewhere(app: Celery, task: Any, context: Any, error: Exception, run_seconds: float) -> Exception:
    """Decide in the worker's main process about an attempt whose end only it has seen.

    That is a child that was lost or killed at its hard limit. Publishes the next attempt if there is one.

    Args:
        app: the worker's app.
        task: the registered task.
        context: `celery.app.task.Context` of the request, with `args`, `kwargs` and `delivery_info`.
        error: `WorkerLostError` or `TimeLimitExceeded`.
        run_seconds: how long the attempt ran.

    Returns:
        Celery's `Retry` when the next attempt is published, `RetryRefused` when that failed, else `error`.
    """
    context.called_directly = False
    # `Task.retry` reads the request of the running task.
    task.request_stack.push(context)
    try:
        return _failed(chain(), _job(task, context, TaskPlan(app, task.name, task)), error, run_seconds)
    finally:
        task.request_stack.pop()


def _job(task: Any, request: Any, plan: TaskPlan) -> Job:
    header = (request.headers or {}).get("queueops") or {}
    return Job(task, request, request.args, request.kwargs, header, plan)


def _failed(members: Chain, job: Job, error: Exception, seconds: float) -> Exception:
    answer = error
    job.run_ms = seconds * 1000
    for hook in members.on_error:
        try:
            found = hook(job, answer)
        except Exception:
            # The attempt's own error must reach the dead letter, not that of a member.
            logger.exception("on_error of %r failed for %s[%s]", hook, job.name, job.task_id)
            continue
        answer = answer if found is None else found
    members.ended(job, _outcome(answer, seconds * 1000))
    return answer


def _outcome(answer: Exception, run_ms: float) -> Outcome:
    if isinstance(answer, CeleryRetry):
        return Outcome(OutcomeKind.RETRIED, run_ms, answer.exc or answer, _delay(answer.when))
    if isinstance(answer, Reject) and answer.requeue:
        return Outcome(OutcomeKind.RETRIED, run_ms, answer)
    if isinstance(answer, Cancelled):
        return Outcome(OutcomeKind.CANCELLED, run_ms, answer)
    if isinstance(answer, Ignore):
        return Outcome(OutcomeKind.SUCCEEDED, run_ms, answer)
    return Outcome(OutcomeKind.DEAD, run_ms, answer)


def _delay(when: Any) -> float | None:
    if isinstance(when, datetime):
        return (when - datetime.now(when.tzinfo)).total_seconds()
    return None if when is None else float(when)
