"""Which failed attempts count against a resource, and how the verdict travels to the broker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from celery.exceptions import Ignore, Reject
from celery.exceptions import Retry as CeleryRetry
from celery.utils.serialization import UnpickleableExceptionWrapper

from queueops.engine.rules.envelope import NewJob
from queueops.engine.store import Store
from queueops.errors import BrokerUnavailable
from queueops.middleware.breaker import counts
from tests.middleware.conftest import Bench


class Down(Exception):
    pass


class Refused(Exception):
    pass


def nothing() -> None: ...


def divide() -> float:
    return 1 / 0


class Task:
    """What the verdict looks at."""

    def __init__(self, **options: Any) -> None:
        self.__dict__.update(options)


@pytest.mark.parametrize(
    ("options", "error", "expected"),
    [
        ({}, Down(), True),
        ({"no_retry": (Refused,)}, Refused(), False),
        ({"no_retry": (Refused,)}, Down(), True),
        ({"breaker_ignores": (Refused,)}, Refused(), False),
        ({"breaker_ignores": Refused}, Refused(), False),
        ({"breaker_errors": (Down,)}, Down(), True),
        ({"breaker_errors": (Down,)}, Refused(), False),
        ({"breaker_errors": (Down,), "no_retry": (Down,)}, Down(), True),
        ({"breaker_errors": ()}, Down(), False),
        ({"breaker_errors": (Exception,), "breaker_ignores": (Refused,)}, Refused(), False),
        # A hang is what a breaker is for.
        ({}, SoftTimeLimitExceeded(), True),
        ({"breaker_errors": (Down,)}, TimeLimitExceeded(3), True),
        ({"breaker_ignores": (SoftTimeLimitExceeded,)}, SoftTimeLimitExceeded(), False),
        # These say nothing about the resource.
        ({}, WorkerLostError("lost"), False),
        ({}, Reject("no"), False),
        ({}, Ignore(), False),
        ({}, BrokerUnavailable("away"), False),
        ({}, None, False),
        ({}, CeleryRetry("later"), False),
        ({}, CeleryRetry("later", exc=Down()), True),
        ({"no_retry": (Refused,)}, CeleryRetry("later", exc=Refused()), False),
        # A child's exception that cannot be pickled comes as a stand-in.
        ({"no_retry": (Refused,)}, UnpickleableExceptionWrapper(__name__, "Refused", (), ""), False),
        ({"no_retry": (Refused,)}, UnpickleableExceptionWrapper(__name__, "Down", (), ""), True),
    ],
)
def test_the_task_chooses_what_counts(
    options: dict[str, Any], error: BaseException | None, expected: bool
) -> None:
    assert counts(Task(**options), error) is expected


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[NewJob]]:
    """Every job that reaches the engine, on its way there."""
    seen: list[NewJob] = []
    enqueue = Store.enqueue

    def watched(self: Store, queue: str, jobs: Any, now_ms: int | None = None) -> list[str]:
        given = list(jobs)
        seen.extend(given)
        return enqueue(self, queue, given, now_ms)

    monkeypatch.setattr(Store, "enqueue", watched)
    yield seen


@pytest.mark.parametrize(
    ("error", "options", "expected"),
    [
        (Down("boom"), {"resource": "whatsapp"}, True),
        (Down("boom"), {}, False),
        (Refused("no"), {"resource": "whatsapp", "breaker_ignores": (Refused,)}, False),
    ],
    ids=["fails", "without a resource", "ignored"],
)
def test_a_retry_carries_the_verdict_of_the_attempt_that_it_ends(
    bench: Bench, published: list[NewJob], error: Exception, options: dict[str, Any], expected: bool
) -> None:
    @bench.task(name="failing", **options)
    def failing() -> None:
        raise error

    failing.delay()
    bench.run(bench.one())
    first, retry = published
    assert (first.counts_as_failure, first.attempt) == (False, 0)
    assert (retry.counts_as_failure, retry.attempt) == (expected, 1)
    assert retry.supersedes
    assert "queueops_failed" not in retry.message


def test_a_task_that_retries_by_itself_is_judged_by_the_error_it_handles(
    bench: Bench, published: list[NewJob]
) -> None:
    @bench.task(name="own", bind=True, resource="whatsapp")
    def own(self: Any, handles: bool) -> None:
        if not handles:
            raise self.retry(countdown=5)
        try:
            raise Down
        except Down as error:
            raise self.retry(exc=error, countdown=5) from None

    bench.task(divide, name="auto", resource="whatsapp", autoretry_for=(ZeroDivisionError,))
    for number, (task, args, expected) in enumerate(
        [("own", (True,), True), ("own", (False,), False), ("auto", (), True)]
    ):
        bench.valkey.flush()
        bench.app.tasks[task].apply_async(args)
        bench.run(bench.one())
        assert published[2 * number + 1].counts_as_failure is expected, (task, args)


def test_what_only_the_main_process_saw_counts_too(bench: Bench, published: list[NewJob]) -> None:
    from celery.app.task import Context

    from queueops.middleware.run import failed_elsewhere

    task = bench.task(nothing, name="hangs", resource="whatsapp")
    task.delay()
    sent = bench.one()
    info = {"exchange": "", "routing_key": "standard", "token": sent.job.token}
    context = Context({**sent.headers, "args": [], "kwargs": {}, "delivery_info": info})
    failed_elsewhere(bench.app, task, context, TimeLimitExceeded(3), 3.0)
    assert published[-1].counts_as_failure is True
