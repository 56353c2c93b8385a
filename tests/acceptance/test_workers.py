"""Workers by remote control: quiet, stop, restart, and the number of their slots."""

from __future__ import annotations

from typing import Any

import pytest

from queueops.engine.types import Scale, WorkerInfo
from queueops.middleware import worker_control
from tests.support.polling import eventually, stays
from tests.support.stack import Stack
from tests.support.worker import Worker

#: Each start of a worker takes its time, so a default run tries the pools that differ most.
FIRST = ["prefork", "threads"]
POOLS = [*FIRST, *(pytest.param(name, marks=pytest.mark.slow) for name in ("gevent", "solo"))]


def ask(stack: Stack, worker: Worker, command: str, **arguments: Any) -> dict[str, Any]:
    """The worker's answer."""
    here = [worker.hostname]
    # A worker is ready a moment before it has subscribed to remote control.
    eventually(lambda: stack.app.control.ping(here, timeout=1), within=30, what="a pong")
    # Once: a second one, sent because the first was answered late, would be told that it was so already.
    replies = stack.app.control.broadcast(
        command, arguments=arguments, destination=here, reply=True, timeout=20
    )
    answer: dict[str, Any] = replies[0][worker.hostname]
    return answer


def scale(stack: Stack, worker: Worker, slots: int) -> dict[str, Any]:
    """The worker's answer when its queue is to have so many slots, as `scaling.scale` asks it."""
    with stack.store() as store:
        store.set_scale(Scale("standard", slots, 0, store.now_ms(), "maria", ""))
    return ask(stack, worker, worker_control.SCALE, slots={worker.hostname: slots})


def info(stack: Stack, worker: Worker) -> WorkerInfo:
    """The worker as the broker knows it."""
    with stack.store() as store:
        [found] = [one for one in store.workers() if one.node == worker.hostname]
    return found


@pytest.mark.parametrize("pool", POOLS)
def test_a_quiet_worker_takes_no_new_job_until_it_is_told(stack: Stack, pool: str) -> None:
    worker = stack.worker(pool=pool, concurrency=1, env={"QUEUEOPS_PREFETCH": "3"})
    if pool == "solo":
        # It can not be asked while it runs a job.
        assert ask(stack, worker, worker_control.QUIET, on=True) == {"word": "quiet"}
        ahead = ["ahead-0", "ahead-1"]
    else:
        stack.enqueue("hold", "running", "door")
        stack.wait_started("running")
        ahead = [f"ahead-{n}" for n in range(3)]
    for job in ahead:
        stack.enqueue("run", job)
    if pool != "solo":
        eventually(lambda: stack.snapshot().leased == 4, within=10, what="three claimed ahead")
        assert ask(stack, worker, worker_control.QUIET, on=True) == {"word": "quiet"}
    eventually(lambda: stack.snapshot().ready == len(ahead), within=10, what="they are back in their lane")
    stack.ledger.open("door")
    stays(lambda: not stack.ledger.ended() & set(ahead), during=1.5, what="none of them runs")
    eventually(lambda: stack.snapshot().leased == 0, within=10, what="the running job has ended")
    seen = info(stack, worker)
    assert (seen.quiet, seen.slots, seen.size, seen.pool) == (True, 0, 1, pool)
    assert ask(stack, worker, worker_control.QUIET, on=True) == {"word": "unchanged"}
    assert ask(stack, worker, worker_control.QUIET, on=False) == {"word": "unquiet"}
    stack.wait_ended(*ahead)
    stack.wait_empty()
    eventually(lambda: info(stack, worker).slots == 1, within=10)
    assert stack.snapshot().totals["lost"] == 0


def test_a_worker_stays_quiet_over_a_reconnect(stack: Stack) -> None:
    proxy = stack.proxy()
    worker = stack.worker(pool="prefork", concurrency=1, broker_url=proxy.broker_url)
    assert ask(stack, worker, worker_control.QUIET, on=True) == {"word": "quiet"}
    proxy.cut()
    stack.enqueue("run", "job")
    assert ask(stack, worker, worker_control.QUIET, on=True) == {"word": "unchanged"}
    stays(lambda: not stack.ledger.count(), during=2, what="it has not run")
    assert info(stack, worker).quiet
    assert ask(stack, worker, worker_control.QUIET, on=False) == {"word": "unquiet"}
    stack.wait_ended("job")
    stack.wait_empty()


@pytest.mark.parametrize("pool", POOLS)
def test_a_worker_stops_by_remote_control_when_its_job_has_ended(stack: Stack, pool: str) -> None:
    worker = stack.worker(pool=pool, concurrency=1, env={"QUEUEOPS_PREFETCH": "2"})
    ahead = [f"ahead-{n}" for n in range(2)]
    if pool != "solo":
        stack.enqueue("hold", "running", "door")
        stack.wait_started("running")
        for job in ahead:
            stack.enqueue("run", job)
        eventually(lambda: stack.snapshot().leased == 3, within=10, what="two claimed ahead")
    assert ask(stack, worker, worker_control.STOP) == {"word": "stopping"}
    if pool != "solo":
        eventually(lambda: stack.snapshot().ready == 2, within=10, what="two given back")
        eventually(lambda: info(stack, worker).stopping, within=10, what="it says that it ends")
        assert worker.alive()
    stack.ledger.open("door")
    assert worker.wait_exit(within=20) == 0
    with stack.store() as store:
        assert not store.workers()
    assert stack.snapshot().totals["lost"] == 0


def test_the_children_of_a_prefork_worker_are_replaced_after_their_jobs(stack: Stack) -> None:
    worker = stack.worker(pool="prefork", concurrency=2)
    stack.enqueue("hold", "running", "door")
    stack.wait_started("running")
    inspect = stack.app.control.inspect([worker.hostname], timeout=3)

    def children() -> set[int]:
        return set((inspect.stats() or {})[worker.hostname]["pool"]["processes"])

    before = eventually(children, within=20)
    assert ask(stack, worker, worker_control.RESTART) == {"word": "restarting", "children": 2}
    eventually(lambda: len(children() - before) == 1, within=20, what="the idle one is replaced")
    assert not stack.ledger.ended(), "the other one has a job"
    stack.ledger.open("door")
    eventually(lambda: len(children()) == 2 and not children() & before, within=20, what="both are new")
    jobs = [f"job-{n}" for n in range(20)]
    for job in jobs:
        stack.enqueue("run", job)
    stack.wait_ended(*jobs)
    stack.wait_empty()
    stack.ledger.assert_each_ran_once(["running", *jobs])


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["threads", "gevent", "solo"])
def test_a_pool_without_children_says_so(stack: Stack, pool: str) -> None:
    worker = stack.worker(pool=pool, concurrency=1)
    assert ask(stack, worker, worker_control.RESTART) == {"word": "cannot", "children": 0}


@pytest.mark.parametrize("pool", [*FIRST, pytest.param("gevent", marks=pytest.mark.slow)])
def test_slots_are_added_and_taken_while_the_worker_runs(stack: Stack, pool: str) -> None:
    worker = stack.worker(pool=pool, concurrency=1, env={"QUEUEOPS_PREFETCH": "0"})
    for n in range(6):
        stack.enqueue("hold", f"first-{n}", "first")
    eventually(lambda: stack.ledger.running() == 1, within=20)
    assert scale(stack, worker, 4) == {"word": "scaled", "slots": 4}
    eventually(lambda: stack.ledger.running() == 4, within=20, what="four run at once")
    eventually(lambda: info(stack, worker).slots == 4, within=10)
    assert scale(stack, worker, 2) == {"word": "scaled", "slots": 2}
    stack.ledger.open("first")
    stack.wait_empty()
    for n in range(6):
        stack.enqueue("hold", f"second-{n}", "second")
    eventually(lambda: stack.ledger.running() == 2, within=20)
    stays(lambda: stack.ledger.running() == 2, during=1.5, what="no more than two run at once")
    stack.ledger.open("second")
    stack.wait_empty()
    assert stack.snapshot().totals["lost"] == 0
    stack.ledger.assert_each_ran_once([f"{name}-{n}" for name in ("first", "second") for n in range(6)])


@pytest.mark.slow
def test_a_solo_worker_says_that_it_has_one_slot(stack: Stack) -> None:
    worker = stack.worker(pool="solo", concurrency=1)
    assert scale(stack, worker, 4) == {"word": "cannot", "slots": 1}


@pytest.mark.parametrize("pool", ["prefork", pytest.param("threads", marks=pytest.mark.slow)])
def test_no_job_is_lost_or_run_twice_while_slots_come_and_go(stack: Stack, pool: str) -> None:
    worker = stack.worker(pool=pool, concurrency=4)
    jobs = [f"job-{n}" for n in range(800)]
    for job in jobs[:200]:
        stack.enqueue("run", job, 0.005)
    for at, slots in enumerate((1, 5, 2, 6, 1, 3)):
        for job in jobs[200 + 100 * at : 300 + 100 * at]:
            stack.enqueue("run", job, 0.005)
        assert scale(stack, worker, slots)["slots"] == slots
        if pool == "prefork":
            assert ask(stack, worker, worker_control.RESTART)["word"] == "restarting"
    stack.wait_ended(*jobs, within=60)
    stack.wait_empty()
    assert stack.snapshot().totals["lost"] == 0
    stack.ledger.assert_each_ran_once(jobs)
    assert not stack.dead()
