"""Asks workers by remote control, and puts what they answer into words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from celery import current_app

from queueops.engine.types import WorkerInfo
from queueops.ops.worker_command import command

__all__ = ["DONE", "WorkerAnswer", "answer_of", "ask"]

#: Seconds that workers have to answer. One whose pool is `solo` can not answer while it runs a job.
ANSWER_SECONDS = 2.0
#: Words of those that did what they were asked.
DONE = frozenset({"quiet", "unquiet", "stopping", "restarting"})

_TOLD = {
    "quiet": "It takes no new job; what runs ends.",
    "unquiet": "It takes jobs again.",
    "unchanged": "It was so already.",
    "stopping": "It ends when its running jobs have ended.",
}


@dataclass(frozen=True, slots=True)
class WorkerAnswer:
    """What one worker answered.

    `word` is "quiet", "unquiet", "unchanged" (it was so already), "stopping", "restarting", "cannot" or
    "silent" (no answer in time); `told` says it in a sentence.
    """

    name: str
    word: str
    told: str


def ask(order: str, arguments: dict[str, Any], nodes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Send a remote control command; return what each worker answered in time, by its name."""
    if not nodes:
        return {}
    replies = current_app.control.broadcast(
        order, arguments=arguments, destination=list(nodes), reply=True, timeout=ANSWER_SECONDS
    )
    return {node: answer for reply in replies or () for node, answer in reply.items()}


def answer_of(worker: WorkerInfo, said: dict[str, Any] | None) -> WorkerAnswer:
    """What a worker `said`, in words; None is no answer."""
    if not isinstance(said, dict) or "word" not in said:
        told = f"It did not answer within {ANSWER_SECONDS:g} s"
        if said and "error" in said:
            told = f"It refused: {said['error']}"
        elif worker.pool == "solo":
            told += "; its pool is solo, so it hears of this when its job has ended"
        return WorkerAnswer(worker.node, "silent", f"{told}.")
    word = str(said["word"])
    if word == "restarting":
        told = f"{said['children']} children are replaced, each when it has ended its job."
    elif word == "cannot":
        told = (
            f"The pool {worker.pool} has no children to replace. Stop it, and whoever supervises it starts "
            f"it again; else: {command(worker.queues, worker.size, pool=worker.pool, name=worker.node)}"
        )
    else:
        told = _TOLD[word]
    return WorkerAnswer(worker.node, word, told)
