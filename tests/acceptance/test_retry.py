"""A failed attempt waits in the broker and runs again; the last one leaves a dead letter."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.support.polling import eventually, stays
from tests.support.stack import LEASE_SECONDS, Stack

POLICY = {"RETRY_POLICIES": {"standard": {"base_seconds": 1, "cap_seconds": 60}}}


def test_a_failed_job_runs_again_after_growing_delays_and_succeeds(stack: Stack) -> None:
    stack.worker(pool="threads", concurrency=1, settings=POLICY)
    result = stack.enqueue("fail", "job", 2, org="acme")
    eventually(lambda: stack.snapshot().scheduled == 1, within=10, what="the first retry waits in the broker")
    stack.wait_ended("job", within=15)
    stack.wait_empty()
    starts = stack.ledger.of("job", "start")
    assert [entry.retries for entry in starts] == [0, 1, 2]
    assert {entry.task_id for entry in starts} == {result.id}
    assert {entry.org for entry in starts} == {"acme"}
    failed = stack.ledger.of("job", "error")
    first, second = (again.at - error.at for error, again in zip(failed, starts[1:], strict=True))
    assert 1.0 <= first < 8, "base"
    assert 2.0 <= second < 9, "base doubled"
    assert not stack.dead()


def test_after_the_last_attempt_the_whole_job_is_a_dead_letter(stack: Stack) -> None:
    settings = {"RETRY_POLICIES": {"standard": {"base_seconds": 0.3, "cap_seconds": 60}}}
    worker = stack.worker(pool="prefork", concurrency=1, settings=settings)
    result = stack.enqueue("fail", "job", org="acme")
    letter = eventually(stack.dead, within=15, what="the dead letter")[0]
    assert stack.ledger.starts("job") == 3
    assert (letter.org, letter.task, letter.task_id, letter.queue) == (
        "acme",
        "ledger.fail",
        result.id,
        "standard",
    )
    detail = letter.detail
    assert detail["reason"] == "failed"
    assert detail["error"].endswith("Refused")
    assert detail["message"] == "job refused"
    assert "ledger().starts(job)" in detail["traceback"] or "raise Refused" in detail["traceback"]
    assert detail["worker"] == worker.hostname
    attempts = detail["attempts"]
    assert [attempt["n"] for attempt in attempts] == [1, 2, 3]
    assert all(attempt["error"].endswith("Refused") and attempt["message"] for attempt in attempts)
    assert all(earlier["at"] < later["at"] for earlier, later in pairwise(attempts))
    assert letter.first_ms <= attempts[0]["at"]
    stack.wait_empty()
    stays(lambda: stack.ledger.starts("job") == 3, during=0.7)


def test_what_a_task_calls_final_and_what_owns_its_attempts_is_left_alone(stack: Stack) -> None:
    stack.worker(pool="threads", concurrency=4, settings=POLICY)
    stack.enqueue("fail_for_good", "final")
    stack.enqueue("own_attempts", "own")
    stack.enqueue("fail", "single", attempts=1)
    eventually(lambda: len(stack.dead()) == 3, within=15, what="three dead letters")
    assert stack.ledger.starts("final") == 1
    assert stack.ledger.starts("single") == 1
    assert stack.ledger.starts("own") == 2, "its own max_retries=1, and not the queue's three attempts"
    stack.wait_empty()


def test_a_requeued_job_comes_back_counted(stack: Stack) -> None:
    """``Reject(requeue=True)`` for ever must not spin: it comes back with a delay, and not for ever."""
    stack.worker(pool="threads", concurrency=1, settings={"DELIVERY_LIMIT": 2})
    stack.enqueue("leave", "again", "requeue")
    stack.wait_started("again")
    letter = eventually(stack.dead, within=30, what="the dead letter")[0]
    assert letter.deliveries == stack.ledger.starts("again") == 2
    stack.wait_empty()


def test_a_retry_outlives_the_worker_that_sent_it(stack: Stack) -> None:
    settings = {"RETRY_POLICIES": {"standard": {"base_seconds": LEASE_SECONDS + 1, "cap_seconds": 60}}}
    first = stack.worker(pool="threads", concurrency=1, settings=settings)
    stack.enqueue("fail", "job", 1)
    eventually(lambda: stack.snapshot().scheduled == 1, within=10)
    first.kill()
    stack.worker(pool="threads", concurrency=1, settings=settings)
    stack.wait_ended("job", within=20)
    stack.wait_empty()
    assert stack.ledger.starts("job") == 2


LONG_LEASES = {"QUEUEOPS_LEASE_SECONDS": "60", "QUEUEOPS_HEARTBEAT_SECONDS": "10"}


def fail_while_the_broker_is_away(stack: Stack, pool: str, **options: object) -> None:
    """A job fails at a moment when its next attempt can not be published; the broker comes back later."""
    proxy = stack.proxy()
    stack.worker(pool=pool, concurrency=1, broker_url=proxy.broker_url, env=LONG_LEASES, settings=POLICY)
    stack.enqueue("fail_behind_door", "job", "door", **options)
    stack.wait_started("job")
    proxy.refuse()
    stack.ledger.open("door")
    eventually(lambda: stack.ledger.of("job", "error"), within=10, what="the failure")
    # The publish of the next attempt is given up within five seconds.
    stays(lambda: stack.snapshot().leased == 1, during=6)
    proxy.accept()


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_an_attempt_that_fails_while_the_broker_is_away_runs_again(stack: Stack, pool: str) -> None:
    fail_while_the_broker_is_away(stack, pool)
    stack.wait_ended("job", within=25)
    stack.wait_empty()
    assert [entry.retries for entry in stack.ledger.of("job")] == [0, 0], "the same attempt, delivered again"
    assert not stack.dead()


def test_what_must_not_run_twice_and_cannot_be_retried_is_a_dead_letter(stack: Stack) -> None:
    fail_while_the_broker_is_away(stack, "threads", delivery="at_most_once")
    [letter] = eventually(stack.dead, within=25, what="the dead letter")
    assert letter.detail["reason"] == "retry_refused"
    assert "job refused" in letter.detail["message"]
    assert stack.ledger.starts("job") == 1
    stack.wait_empty()
