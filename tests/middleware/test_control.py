"""A revoke is remembered by the broker, whether or not a worker is there to hear it."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from queueops import install
from queueops.engine.types import Settlement
from queueops.errors import BrokerUnavailable
from queueops.middleware.control import Control, cancel
from tests.middleware.conftest import Bench, Configure
from tests.support.ports import HOST, free_port
from tests.support.valkey import Valkey


@pytest.fixture
def task(bench: Bench) -> Any:
    @bench.task(name="work")
    def work(x: Any = None) -> None:
        raise RuntimeError("no")

    return work


def test_a_job_that_waits_is_gone_at_once(bench: Bench, task: Any) -> None:
    assert isinstance(bench.app.control, Control)
    ready, later = task.delay(1), task.apply_async((2,), countdown=60)
    child = task.apply_async((3,), after=ready)
    ready.revoke()
    bench.app.control.revoke([later.id, child.id, "nobody"])
    assert not bench.claim()
    seen = bench.store.queue_snapshot("standard")
    assert (seen.ready, seen.scheduled, seen.blocked, seen.totals["cancelled"]) == (0, 0, 0, 3)


def test_the_words_of_the_broker_are_told(bench: Bench, task: Any) -> None:
    waits, runs = task.delay(1), task.apply_async((2,), queue="bulk")
    bench.one("bulk")
    assert cancel(bench.app, [waits.id, runs.id, "nobody"]) == {
        waits.id: "cancelled",
        runs.id: "cancelling",
        "nobody": "unknown",
    }


def test_a_cancelled_job_that_fails_gets_no_further_attempt(
    bench: Bench, task: Any, configure: Configure
) -> None:
    configure(RETRY_POLICIES={"standard": {"base_seconds": 0}})
    result = task.delay(1)
    sent = bench.one()
    bench.app.control.revoke(result.id)
    error, state = bench.run(sent)
    assert (type(error).__name__, state) == ("Cancelled", "IGNORED")
    assert "cancelled" in str(error)
    # The refused publish has ended the lease in the same step.
    assert bench.store.settle([Settlement(sent.job.token, "cancelled")]) == ["stale"]
    assert bench.store.job(result.id) is None
    assert bench.store.queue_snapshot("standard").totals["cancelled"] == 1
    assert bench.store.dead_size() == 0


def test_a_task_that_retries_itself_is_told_too(bench: Bench) -> None:
    @bench.task(name="stubborn", bind=True, max_retries=5)
    def stubborn(self: Any) -> None:
        raise self.retry(countdown=0)

    result = stubborn.delay()
    sent = bench.one()
    bench.app.control.revoke(result.id, terminate=True)
    error, state = bench.run(sent)
    assert (type(error).__name__, state) == ("Cancelled", "IGNORED")
    assert bench.store.job(result.id) is None


def test_whoever_waits_for_the_result_of_a_cancelled_job_is_told(bench: Bench, valkey: Valkey) -> None:
    app = bench.make_app(result_backend=valkey.url, task_ignore_result=False)

    @app.task(name="answer", shared=False)
    def answer() -> int:
        return 42

    @app.task(name="silent", shared=False, ignore_result=True)
    def silent() -> None: ...

    asked, quiet = answer.delay(), silent.delay()
    app.control.revoke([asked.id, quiet.id])
    assert asked.state == "REVOKED"
    assert app.backend.get_task_meta(quiet.id)["status"] == "PENDING"
    # Also where it is cancelled with its parent at the publish, and where another job answers for it
    parent = answer.delay()
    app.control.revoke(parent.id)
    assert answer.apply_async(after=parent, on_parent_death="cancel").state == "REVOKED"
    first = answer.apply_async(unique_key="k")
    assert answer.apply_async(unique_key="k", task_id="second").id == first.id
    assert b"celery-task-meta-second" not in app.backend.result_consumer.subscribed_to
    app.close()


def test_another_transport_gets_celerys_own_revoke(valkey: Valkey) -> None:
    app = install(Celery("plain", broker=valkey.url, set_as_current=False))
    assert app.control.revoke("nobody") is None
    assert cancel(app, ["nobody"]) == {}
    app.close()


def test_a_broker_that_is_away_is_a_typed_error() -> None:
    app = install(Celery("nowhere", broker=f"queueops://{HOST}:{free_port()}/0", set_as_current=False))
    with pytest.raises(BrokerUnavailable):
        app.control.revoke("any")
    app.close()
