"""What operators know from Celery answers as ever: inspect, revoke, Flower."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.support.polling import eventually, stays
from tests.support.ports import HOST, free_port
from tests.support.stack import Stack
from tests.support.worker import ROOT, environment

CELERY = [sys.executable, "-m", "celery", "-A", "tests.apps.ledger"]


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent"])
def test_workers_answer_ping_and_stats_while_they_work(stack: Stack, pool: str) -> None:
    worker = stack.worker(pool=pool, concurrency=2)
    stack.enqueue("hold", "job", "door")
    stack.wait_started("job")
    ping = stack.app.control.inspect(timeout=1, limit=1).ping
    # A gevent worker begins to listen a moment after it says that it is ready, as with stock Celery.
    eventually(lambda: ping() == {worker.hostname: {"ok": "pong"}}, within=30, what="a pong")
    inspect = stack.app.control.inspect(timeout=20, limit=1)
    stats = inspect.stats()[worker.hostname]
    assert stats["broker"]["transport"] in ("redis", "queueops")
    active = inspect.active()[worker.hostname]
    assert [task["name"] for task in active] == ["ledger.hold"]
    queues = inspect.active_queues()[worker.hostname]
    assert [queue["name"] for queue in queues] == ["standard"]
    stack.ledger.open("door")
    stack.wait_empty()


def test_a_revoked_job_that_waits_never_runs(stack: Stack) -> None:
    worker = stack.worker(pool="threads", concurrency=1)
    with stack.store() as store:
        store.pause("standard")
    waiting = stack.enqueue("run", "waiting")
    later = stack.enqueue("run", "later", countdown=2)
    revoked = {"reply": True, "timeout": 5, "destination": [worker.hostname]}
    # A worker is ready a moment before it has subscribed to remote control.
    eventually(
        lambda: stack.app.control.revoke([waiting.id, later.id], **revoked),
        within=30,
        what="the worker's answer",
    )
    stack.enqueue("run", "other")
    with stack.store() as store:
        store.resume("standard")
    stack.wait_ended("other")
    stack.wait_empty()
    assert {entry.job for entry in stack.ledger.entries()} == {"other"}
    assert stack.snapshot().totals["cancelled"] == 2
    assert not stack.dead(), "cancelled by a person: nothing died"


def test_a_running_job_is_terminated_by_revoke(stack: Stack) -> None:
    stack.worker(pool="prefork", concurrency=1)
    running = stack.enqueue("run", "running", 600)
    stack.wait_started("running")
    stack.app.control.revoke(running.id, terminate=True, signal="SIGKILL")
    stack.enqueue("run", "next")
    stack.wait_ended("next", within=15)
    stack.wait_empty()
    assert stack.ledger.starts("running") == 1
    assert not stack.dead(), "cancelled by a person: nothing died"


def test_a_worker_stops_and_starts_consuming_by_remote_control(stack: Stack) -> None:
    worker = stack.worker(pool="threads", concurrency=1)
    control = stack.app.control
    here = {"reply": True, "destination": [worker.hostname], "timeout": 3}
    # A worker is ready a moment before it has subscribed to remote control.
    eventually(lambda: control.cancel_consumer("standard", **here), within=30, what="an answer")
    stack.enqueue("run", "job")
    stays(lambda: stack.ledger.count() == 0, during=1)
    eventually(lambda: control.add_consumer("standard", **here), within=30, what="an answer")
    stack.wait_ended("job")
    stack.wait_empty()


@pytest.fixture
def flower(stack: Stack) -> Iterator[str]:
    """The address of a Flower that was started as a user starts it."""
    port = free_port()
    settings = {
        "QUEUEOPS_BROKER_URL": stack.broker.broker_url,
        "LEDGER_URL": stack.ledger.url,
        "LEDGER_NAMESPACE": stack.ledger.namespace,
        "FLOWER_UNAUTHENTICATED_API": "true",
    }
    log = stack.folder / "flower.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*CELERY, "flower", f"--address={HOST}", f"--port={port}"],
            cwd=ROOT,
            env=environment(settings),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    yield f"http://{HOST}:{port}"
    process.terminate()
    process.wait(timeout=10)
    print(f"--- flower ---\n{log.read_text(errors='replace')}")


def asked(address: str) -> dict[str, object] | None:
    """The JSON at ``address``, or None while nobody answers there."""
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            found: dict[str, object] = json.load(answer)
            return found
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def test_flower_shows_the_true_depth_of_a_queue(stack: Stack, flower: str) -> None:
    stack.worker(pool="threads", concurrency=2, env={"QUEUEOPS_PREFETCH": "0"})
    for n in range(9):
        stack.enqueue("hold", f"job-{n}", "door", org=f"org-{n % 3}")
    stack.wait_started("job-0", "job-1")

    def depth() -> object:
        lengths = asked(f"{flower}/api/queues/length")
        queues = {queue["name"]: queue["messages"] for queue in lengths["active_queues"]} if lengths else {}
        return queues.get("standard")

    eventually(lambda: depth() == 7, within=60, what="nine enqueued, two running: seven wait")
    assert stack.broker.client().llen("standard") == 7
    stack.ledger.open("door")
    stack.wait_empty()
    eventually(lambda: depth() == 0, within=10, what="none waits")
