"""What the operations tell of the broker's history."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery

from queueops.engine.store import Store
from queueops.engine.types import Settlement
from queueops.errors import UnknownQueue
from queueops.ops import broker, stats
from queueops.ops.masking import MASK
from tests.support import letters


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


def work(
    app: Celery, store: Store, number: int, run_ms: float, task: str = "shop.mail", queue: str = "bulk"
) -> None:
    """Publish, claim and settle so many jobs."""
    for _ in range(number):
        letters.publish(app, task=task, queue=queue)
    jobs = store.claim([queue], number, 0, "holder", 1).jobs
    assert len(jobs) == number
    store.settle([Settlement(job.token, "succeeded", run_ms) for job in jobs])


def test_the_last_hour_by_queue_and_in_all(app: Celery, store: Store) -> None:
    work(app, store, 3, 200)
    work(app, store, 1, 1000, "shop.pay", "critical")
    letters.publish(app)
    letters.die(store)

    found = stats.last_hour()

    assert set(found) >= {"", "bulk", "critical", "standard"}
    assert (found["bulk"].succeeded, found["bulk"].failed, found["bulk"].ended) == (3, 0, 3)
    assert found["bulk"].avg_execution_time_seconds == pytest.approx(0.2)
    assert found["bulk"].avg_queue_time_seconds is not None and found["bulk"].avg_queue_time_seconds < 60
    assert 0.1 < (found["bulk"].run.p95_seconds or 0) <= 0.5
    assert (found["standard"].failed, found["standard"].failure_share) == (1, 1.0)
    assert (found[""].ended, found[""].succeeded, found[""].failed) == (5, 4, 1)
    assert found[""].per_second == pytest.approx(5 / 3600)
    assert list(stats.last_hour(["bulk"])) == ["", "bulk"]


def test_nothing_is_told_as_nothing(app: Celery, store: Store) -> None:
    found = stats.last_hour()[""]

    assert (found.ended, found.failure_share, found.run.p99_seconds, found.avg_queue_time_seconds) == (
        0,
        None,
        None,
        None,
    )
    assert stats.by_task() == stats.error_summary() == stats.failures() == stats.slow_jobs() == []
    assert [point.ended for point in stats.throughput(minutes=3)] == [0, 0, 0]


def test_a_queue_that_nobody_knows_is_refused(app: Celery, store: Store) -> None:
    for read in (stats.by_task, stats.throughput, stats.error_summary, stats.failures, stats.slow_jobs):
        with pytest.raises(UnknownQueue):
            read("nowhere")  # type: ignore[operator]
    with pytest.raises(UnknownQueue):
        stats.last_hour(["nowhere"])


def test_throughput_by_minute_and_hour_of_a_task_a_queue_and_all(app: Celery, store: Store) -> None:
    work(app, store, 2, 20)
    work(app, store, 3, 40, "shop.pay")
    work(app, store, 4, 40, "shop.pay", "critical")

    assert sum(point.ended for point in stats.throughput(minutes=2)) == 9
    assert sum(point.ended for point in stats.throughput("bulk", minutes=2)) == 5
    assert sum(point.ended for point in stats.throughput("bulk", "shop.pay", hours=2)) == 3
    by_queue = stats.throughput_by_queue(minutes=2)
    assert sum(point.ended for point in by_queue[""]) == 9 and by_queue[""] == stats.throughput(minutes=2)
    assert by_queue["bulk"] == stats.throughput("bulk", minutes=2)
    points = stats.throughput(hours=3)
    assert [point.seconds for point in points] == [3600] * 3
    assert points[-1].start <= datetime.now(UTC) < points[-1].start + timedelta(hours=1)
    assert points[1].start - points[0].start == timedelta(hours=1)


@pytest.mark.parametrize("hours", [1, 24])
def test_tasks_come_with_the_busiest_first(app: Celery, store: Store, hours: int) -> None:
    work(app, store, 2, 20)
    work(app, store, 3, 400, "shop.pay")

    pay, mail = stats.by_task("bulk", hours=hours)

    assert (pay.task, pay.ended, mail.task, mail.ended) == ("shop.pay", 3, "shop.mail", 2)
    assert pay.run.mean_seconds == pytest.approx(0.4)
    assert pay.wait.count == 3


@pytest.mark.parametrize("hours", [1, 24])
def test_errors_are_grouped_with_how_often_and_when_last(app: Celery, store: Store, hours: int) -> None:
    for number, (error, message) in enumerate(
        [("Timeout", "after 30 s"), ("Refused", "no"), ("Timeout", "after 31 s")]
    ):
        letters.publish(app, number)
        letters.die(store, error=error, message=message)

    timeout, refused = stats.error_summary(hours=hours)

    assert (timeout.error, timeout.count, timeout.message) == ("Timeout", 2, "after <n> s")
    assert (refused.error, refused.count, refused.queue) == ("Refused", 1, "standard")
    assert timeout.last_seen >= refused.last_seen
    assert [ended.message for ended in stats.failures("standard", limit=2)] == ["after 31 s", "no"]


def test_messages_have_their_secrets_masked(app: Celery, store: Store) -> None:
    letters.publish(app)
    letters.die(store, error="Refused", message="answered no to token=hush")

    assert [ended.message for ended in stats.failures()] == [f"answered no to token={MASK}"]
    assert [group.message for group in stats.error_summary()] == [f"answered no to token={MASK}"]
    assert "hush" not in str(stats.slow_jobs())


def test_slow_jobs_come_with_the_longest_first(app: Celery, store: Store) -> None:
    work(app, store, 2, 20)
    work(app, store, 1, 900, "shop.pay")

    slow = stats.slow_jobs(limit=2)

    assert [(ended.task, ended.run_ms) for ended in slow] == [("shop.pay", 900.0), ("shop.mail", 20.0)]
    assert stats.slow_jobs("critical") == []
