"""A run over its hard time limit: billiard tells the worker twice, first of a failure, then of the limit."""

from __future__ import annotations

import json
from time import monotonic
from typing import Any

import pytest
from billiard.pool import ApplyResult, TimeoutHandler
from celery import states
from kombu.message import Message

from queueops.middleware.request import Request, Stop
from queueops.transport.messages import to_message
from tests.middleware.conftest import Bench, Sent


class Leases:
    """What a request uses of its process's table; keeps how each lease ended."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    def started(self, token: str, at: float) -> None:
        """The run began."""

    def settle(self, token: str, outcome: str, *details: Any) -> None:
        self.ends.append(outcome)

    def give_back(self, token: str, **details: Any) -> None:
        self.ends.append("released")


class Channel:
    """A consumer's channel."""

    no_ack_consumers: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.holder = Leases()


class Pool:
    """The pool of a run that is to be stopped: its child does not die in time."""

    def terminate_job(self, pid: int, signum: int) -> None:
        """Send the signal."""


class Runs:
    """Jobs of one task as a worker's main process has them."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.failed, self.channel = bench, [], Channel()
        bench.app = bench.make_app(result_backend="cache+memory://", task_ignore_result=False)
        failed: list[str] = self.failed

        def on_failure(self: Any, error: Exception, task_id: str, *more: Any) -> None:
            failed.append(type(error).__name__)

        @bench.task(name="endless", on_failure=on_failure, time_limit=1)
        def endless() -> None: ...

        self.task = endless

    def start(self, **options: Any) -> tuple[Sent, Request, Any]:
        """Publish a job and begin its run."""
        self.task.apply_async(**options)
        sent = self.bench.one()
        raw = to_message(sent.job)
        properties = raw["properties"]
        message = Message(
            body=json.dumps(sent.body),
            channel=self.channel,
            content_type=raw["content-type"],
            content_encoding=raw["content-encoding"],
            headers=raw["headers"],
            properties=properties,
            delivery_info=properties["delivery_info"],
            delivery_tag=properties["delivery_tag"],
        )
        task = self.bench.app.tasks["endless"]
        request = Request(message, app=self.bench.app, task=task, hostname="w1@tests")
        run = ApplyResult(
            {},
            request.on_success,
            accept_callback=request.on_accepted,
            timeout_callback=request.on_timeout,
            error_callback=request.on_failure,
            timeout=1,
        )
        run._ack(None, monotonic() - 1, 1, None)
        return sent, request, run

    def state(self, sent: Sent) -> str:
        """The state of the job's result."""
        return str(self.bench.app.AsyncResult(sent.job.task_id).state)

    @property
    def ends(self) -> list[str]:
        """How leases ended."""
        return self.channel.holder.ends


@pytest.fixture
def runs(bench: Bench) -> Runs:
    return Runs(bench)


def time_out(run: Any) -> None:
    """What the pool does when it finds a run over its limit."""
    TimeoutHandler([], {}, None, None).on_hard_timeout(run)


def test_what_runs_again_because_the_broker_was_away_has_not_failed(bench: Bench, runs: Runs) -> None:
    sent, _, run = runs.start()
    bench.app.conf.broker_url = "queueops://127.0.0.1:1/0"
    bench.app.amqp._producer_pool = None

    time_out(run)

    assert runs.ends == ["released"]
    assert (runs.state(sent), runs.failed) == (states.PENDING, [])


def test_what_was_cancelled_while_it_ran_stays_revoked(bench: Bench, runs: Runs) -> None:
    sent, _, run = runs.start()
    assert bench.store.cancel(sent.job.task_id, stop=False) == "cancelling"

    time_out(run)

    assert runs.ends == ["cancelled"]
    assert (runs.state(sent), runs.failed) == (states.REVOKED, [])


@pytest.mark.parametrize(
    ("end", "outcome", "state"),
    [(Stop.CANCELLED, "cancelled", states.REVOKED), (Stop.GIVEN_BACK, "released", states.PENDING)],
)
def test_what_was_being_stopped_ends_as_was_asked(runs: Runs, end: Stop, outcome: str, state: str) -> None:
    sent, request, run = runs.start()
    assert request.stop(Pool(), end) == "stopping"

    time_out(run)

    assert runs.ends == [outcome]
    assert (runs.state(sent), runs.failed) == (state, [])


def test_the_next_attempt_is_published_once(bench: Bench, runs: Runs) -> None:
    sent, _, run = runs.start()

    time_out(run)

    assert runs.ends == ["retried"]
    assert bench.store.queue_snapshot("standard").scheduled == 1
    assert (runs.state(sent), runs.failed) == (states.RETRY, [])


def test_the_last_attempt_fails_as_celery_has_it(runs: Runs) -> None:
    sent, _, run = runs.start(attempts=1)

    time_out(run)

    assert runs.ends == ["dead"]
    assert (runs.state(sent), runs.failed) == (states.FAILURE, ["TimeLimitExceeded"])
