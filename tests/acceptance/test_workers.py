"""Workers by remote control: quiet, stop, restart, and the number of their slots."""

from __future__ import annotations

from typing import Any

import pytest

from queueops.engine.types import WorkerInfo
from queueops.middleware import worker_control
from tests.support.polling import eventually, stays
from tests.support.stack import Stack
from tests.support.worker import Worker

POOLS = ["prefork", "threads", "gevent", "solo"]


def ask(stack: Stack, worker: Worker, command: str, **arguments: Any) -> dict[str, Any]:
    """The worker's answer."""

    def answered() -> Any:
        replies = stack.app.control.broadcast(
            command, arguments=arguments, destination=[worker.hostname], reply=True, timeout=3
        )
        return replies and replies[0][worker.hostname]

    # A worker is ready a moment before it has subscribed to remote control.
    answer: dict[str, Any] = eventually(answered, within=30, what=f"an answer to {command}")
    return answer


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
    stays(lambda: not stack.ledger.ended() & set(ahead), during=2, what="none of them runs")
    eventually(lambda: stack.snapshot().leased == 0, within=10, what="the running job has ended")
    seen = info(stack, worker)
    assert (seen.quiet, seen.slots, seen.size, seen.pool) == (True, 0, 1, pool)
    assert ask(stack, worker, worker_control.QUIET, on=True) == {"word": "unchanged"}
    assert ask(stack, worker, worker_control.QUIET, on=False) == {"word": "unquiet"}
    stack.wait_ended(*ahead)
    stack.wait_empty()
    eventually(lambda: info(stack, worker).slots == 1, within=10)
    assert stack.snapshot().totals["lost"] == 0
