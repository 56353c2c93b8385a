"""Asks the worker that runs a job to stop it, and says what came of it."""

from __future__ import annotations

from collections.abc import Sequence

from celery import current_app

from queueops.engine.job_types import JobSnapshot
from queueops.engine.types import WorkerInfo

__all__ = ["RUNS_ON", "ask", "told"]

#: How long a worker has to answer. One whose pool is `solo` cannot answer while it runs a job.
ANSWER_SECONDS = 2.0

#: Pools that cannot stop a run.
RUNS_ON = "runs on"

_TOLD = {
    "stopping": "its worker stops the run",
    RUNS_ON: "its worker's pool cannot stop a run: the thread goes on to its end",
    "waiting": "its worker has claimed it and not begun",
    "over": "the run has just ended",
    "": "its worker did not answer",
}


def told(word: str) -> str:
    """What a word of `ask` means."""
    return _TOLD[word]


def ask(job: JobSnapshot, workers: Sequence[WorkerInfo], end: str, *, wait: bool = True) -> str:
    """Ask for the run of a leased job to be stopped.

    Args:
        workers: those that are registered.
        end: how the lease is to end, a `queueops.middleware.request.Stop`.
        wait: for the answer; False only sends.

    Returns:
        What the worker answers (see `queueops.middleware.stopping.stop_run`), "" without an answer.
    """
    assert job.lease is not None
    nodes = [worker.node for worker in workers if worker.holder == job.lease.holder and worker.node]
    answers = current_app.control.broadcast(
        "queueops_stop",
        arguments={"token": job.lease.token, "end": end},
        # Without its name, from an older version, all are asked; only who holds the lease acts.
        destination=nodes or None,
        reply=wait,
        timeout=ANSWER_SECONDS,
    )
    words = [one.get("word", "") for answer in answers or [] for one in answer.values()]
    return next((word for word in words if word), "")
