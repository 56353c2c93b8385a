"""What happens after a failed attempt: the next one, its time and history, or the end."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celery.exceptions import Retry as CeleryRetry

from queueops.middleware.dead_letter import RetryRefused, reason_of
from queueops.middleware.plan import TaskPlan
from queueops.middleware.retry import Retry
from tests.middleware.conftest import Bench, Configure, Sent
from tests.support.valkey import Valkey


class Boom(Exception):
    pass


class Busy(Exception):
    retry_after = 900.0


def due_in(bench: Bench, sent: Sent) -> float | None:
    """Run the job; return in how many seconds its next attempt is due, and None if there is none."""
    started = time.time()
    bench.run(sent)
    keys = list(bench.client.scan_iter("*scheduled:*"))
    if not keys:
        return None
    [(_, due)] = bench.client.zrange(keys[0], 0, -1, withscores=True)
    return float(due) / 1000 - started


def failing(bench: Bench, error: BaseException, **options: Any) -> Any:
    @bench.task(name="failing", **options)
    def body() -> None:
        raise error

    return body


@pytest.mark.parametrize(
    ("queue", "delays"),
    [("critical", [5, 10, None]), ("standard", [20, 40, None]), ("bulk", [120, 240, None])],
)
def test_each_queue_has_its_delays_and_gives_up_after_the_third_attempt(
    bench: Bench, queue: str, delays: list[float | None]
) -> None:
    task = failing(bench, Boom("boom"))
    result = task.apply_async(queue=queue, org="acme")
    sent = bench.one()
    for number, delay in enumerate(delays, start=1):
        waited = due_in(bench, sent)
        if delay is None:
            assert waited is None
            break
        assert waited == pytest.approx(delay, abs=2)
        # The next attempt is the same job: its id, org and first enqueue stay, its history grows.
        later = int((time.time() + delay + 1) * 1000)
        [job] = bench.store.claim([queue], 1, 0, "bench", 100 + number, now_ms=later).jobs
        again = Sent(queue, job)
        assert (job.task_id, job.org, job.first_ms) == (result.id, "acme", sent.job.first_ms)
        assert again.headers["retries"] == job.attempt == number
        history = again.header["attempts"]
        assert [entry["n"] for entry in history] == list(range(1, number + 1))
        assert {(entry["error"], entry["message"], entry["worker"]) for entry in history} == {
            ("Boom", "boom", "w1@tests")
        }
        assert "own" not in again.header
        sent = again


def test_the_last_attempt_ends_with_its_own_error(bench: Bench) -> None:
    failing(bench, Boom("boom"), attempts=1).delay()
    error, state = bench.run(bench.one())
    assert state == "FAILURE"
    assert type(error).__name__ == "Boom"
    assert reason_of(error) == "failed"


def test_full_jitter_is_repeatable_with_a_seed(bench: Bench) -> None:
    task = failing(bench, Boom(), retry_policy={"jitter": "full"})
    task.delay()
    sent = bench.one()

    def delays(seed: int) -> list[float | None]:
        member = Retry(random.Random(seed))
        return [member.delay_after(job_of(bench, sent, retries), Boom()) for retries in range(3)]

    assert delays(7) == delays(7) != delays(8)
    assert delays(7) == [pytest.approx(6.4766, abs=1e-3), pytest.approx(6.034, abs=1e-3), None]


def job_of(bench: Bench, sent: Sent, retries: int) -> Any:
    """The job that a worker would make of the message, at the given attempt."""
    from celery.app.task import Context

    from queueops.middleware.chain import Job

    task = bench.app.tasks[sent.headers["task"]]
    request = Context({**sent.headers, "retries": retries, "delivery_info": {"routing_key": sent.queue}})
    return Job(task, request, (), {}, sent.header, TaskPlan(bench.app, task.name, task))


def test_a_task_and_a_call_may_override_the_policy_of_the_queue(bench: Bench, configure: Configure) -> None:
    configure(RETRY_POLICIES={"standard": {"base_seconds": 100}})
    task = failing(bench, Boom(), retry_policy={"base_seconds": 7})
    task.delay()
    assert due_in(bench, bench.one()) == pytest.approx(7, abs=2)
    bench.valkey.flush()
    task.apply_async(retry_policy={"base_seconds": 50})
    assert due_in(bench, bench.one()) == pytest.approx(50, abs=2)
    bench.valkey.flush()
    task.apply_async(attempts=1)
    assert due_in(bench, bench.one()) is None


def test_retry_after_is_a_lower_bound(bench: Bench) -> None:
    task = failing(bench, Busy())
    task.delay()
    assert due_in(bench, bench.one()) == pytest.approx(900, abs=2)
    bench.valkey.flush()
    task.apply_async(retry_policy={"base_seconds": 1000})
    assert due_in(bench, bench.one()) == pytest.approx(1000, abs=2)


@pytest.mark.parametrize("wanted", [float("nan"), float("inf"), "soon", None, -5, 10**9])
def test_a_senseless_retry_after_does_not_park_the_job_for_years(bench: Bench, wanted: Any) -> None:
    error = Boom()
    error.retry_after = wanted  # type: ignore[attr-defined]
    failing(bench, error).delay()
    waited = due_in(bench, bench.one())
    assert waited is not None
    assert waited < 86_402


def test_an_exception_that_the_task_calls_final_is_not_retried(bench: Bench) -> None:
    failing(bench, Boom(), no_retry=(Boom,)).delay()
    assert due_in(bench, bench.one()) is None


def test_a_soft_time_limit_is_a_failed_attempt_and_at_the_end_a_timeout(bench: Bench) -> None:
    task = failing(bench, SoftTimeLimitExceeded())
    task.delay()
    assert due_in(bench, bench.one()) == pytest.approx(20, abs=2)
    bench.valkey.flush()
    task.apply_async(attempts=1)
    error, _ = bench.run(bench.one())
    assert reason_of(error) == "timeout"


@pytest.mark.parametrize(
    "options",
    [{"autoretry_for": (Boom,), "max_retries": 0}, {"autoretry_for": (KeyError,)}],
    ids=["used up", "other"],
)
def test_a_task_with_autoretry_owns_its_attempts(bench: Bench, options: dict[str, Any]) -> None:
    failing(bench, Boom(), **options).delay()
    assert due_in(bench, bench.one()) is None


def test_celerys_own_autoretry_works_and_its_history_is_kept(bench: Bench) -> None:
    failing(bench, Boom("auto"), autoretry_for=(Boom,), default_retry_delay=33).delay()
    sent = bench.one()
    assert due_in(bench, sent) == pytest.approx(33, abs=2)
    [job] = bench.store.claim(["standard"], 1, 0, "bench", 9, now_ms=int(time.time() * 1000) + 40_000).jobs
    header = Sent("standard", job).header
    assert header["own"] is True
    assert [(entry["n"], entry["error"], entry["message"]) for entry in header["attempts"]] == [
        (1, "Boom", "auto")
    ]


def test_a_task_that_calls_retry_owns_its_attempts_to_the_end(bench: Bench) -> None:
    @bench.task(bind=True, max_retries=1, default_retry_delay=44)
    def own(self: Any, last: str) -> None:
        try:
            raise Boom("own")
        except Boom as error:
            if self.request.retries and last == "plain":
                raise
            raise self.retry(exc=error) from None

    for last in ("retry", "plain"):
        bench.valkey.flush()
        own.delay(last)
        assert due_in(bench, bench.one()) == pytest.approx(44, abs=2)
        [job] = bench.store.claim(
            ["standard"], 1, 0, "bench", 9, now_ms=int(time.time() * 1000) + 50_000
        ).jobs
        assert due_in(bench, Sent("standard", job)) is None, "its own max_retries, not the queue's attempts"


@pytest.mark.parametrize("error", [Ignore(), Reject("no"), Reject("no", requeue=True)])
def test_celerys_own_endings_are_left_alone(bench: Bench, error: Exception) -> None:
    failing(bench, error).delay()
    sent = bench.one()
    assert due_in(bench, sent) is None


def test_the_retry_ends_the_old_lease_in_the_same_step(bench: Bench) -> None:
    failing(bench, Boom()).delay()
    sent = bench.one()
    assert bench.store.queue_snapshot("standard").leased == 1
    error, state = bench.run(sent)
    assert isinstance(error, CeleryRetry) and state == "RETRY"
    snapshot = bench.store.queue_snapshot("standard")
    assert (snapshot.leased, snapshot.scheduled) == (0, 1)


def test_a_retry_of_a_lost_lease_publishes_nothing_and_ends_quietly(bench: Bench) -> None:
    failing(bench, Boom()).delay()
    sent = bench.one()
    bench.store.release([sent.job.token])
    error, _ = bench.run(sent)
    assert isinstance(error, Ignore)
    snapshot = bench.store.queue_snapshot("standard")
    assert (snapshot.ready, snapshot.scheduled) == (1, 0), "the other delivery goes on"


def test_a_retry_that_cannot_be_published_keeps_both_errors(durable_valkey: Valkey) -> None:
    bench = Bench(durable_valkey)
    failing(bench, Boom("the body's error")).delay()
    sent = bench.one()
    durable_valkey.kill()
    error, state = bench.run(sent)
    assert state == "REJECTED"
    assert isinstance(error, RetryRefused) and error.requeue, "it runs again when the broker is back"
    assert (error.error, reason_of(error)) == ("Boom", "retry_refused")
    assert "the body's error" in str(error) and "could not be published: BrokerUnavailable" in str(error)


def test_the_history_keeps_the_last_twenty(bench: Bench) -> None:
    from queueops.middleware.retry import with_attempt

    header: dict[str, Any] = {"org": "a"}
    for n in range(1, 31):
        header = with_attempt(header, n, Boom("x" * 1000), "w")
    assert [entry["n"] for entry in header["attempts"]] == list(range(11, 31))
    assert all(len(entry["message"]) == 500 for entry in header["attempts"])


def test_without_its_member_nothing_is_retried(bench: Bench, configure: Configure) -> None:
    configure(MIDDLEWARE=["queueops.middleware.org.Org"])
    failing(bench, Boom()).delay()
    assert due_in(bench, bench.one()) is None


def test_what_only_the_main_process_saw_is_retried_from_there(bench: Bench) -> None:
    from billiard.exceptions import TimeLimitExceeded
    from celery.app.task import Context

    from queueops.middleware.run import failed_elsewhere

    task = failing(bench, Boom())
    task.delay()
    sent = bench.one()
    info = {"exchange": "", "routing_key": "standard", "token": sent.job.token}
    context = Context(
        {**sent.headers, "args": [], "kwargs": {}, "delivery_info": info, "hostname": "w1@tests"}
    )
    answer = failed_elsewhere(bench.app, bench.app.tasks["failing"], context, TimeLimitExceeded(3), 3.0)
    assert isinstance(answer, CeleryRetry)
    snapshot = bench.store.queue_snapshot("standard")
    assert (snapshot.leased, snapshot.scheduled) == (0, 1)
