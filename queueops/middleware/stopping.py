"""Stopping a run: the job was cancelled, or it is stuck and an operator wants it back.

Only the process that holds a lease can stop its run, so an operator asks by remote control (`queueops_stop`);
a cancelled job is also found at the next renewal, when nobody could be asked.
"""

from __future__ import annotations

from typing import Any

from celery.utils.log import get_logger
from celery.worker import state
from celery.worker.control import inspect_command

from queueops.middleware.request import Request, Stop
from queueops.transport.holder import Holder
from queueops.transport.holders import holders

__all__ = ["COMMAND", "stop_cancelled", "stop_run"]

logger = get_logger(__name__)

#: Name of the remote control command.
COMMAND = "queueops_stop"


def stop_run(pool: Any, token: str, end: str) -> str:
    """Stop the run of a delivery that this process holds, and have its lease end as `end` says.

    Args:
        pool: the worker's pool.
        token: of the lease.
        end: a `Stop`.

    Returns:
        "stopping" (it ends within moments), "runs on" (this pool cannot stop a run), "over" (it has ended),
        "waiting" (claimed, not started) or "" (not held here).
    """
    for request in _requests():
        if request.token == token:
            return request.stop(pool, Stop(end))
    for holder in holders():
        if any(token == one.job.token for one in holder.jobs()):
            if end != Stop.CANCELLED:
                return "waiting"
            holder.cancelled([token])
            return "stopping"
    return ""


def stop_cancelled(holder: Holder, pool: Any) -> None:
    """Stop what a renewal has told to be cancelled."""
    tokens = set(holder.take_cancelled())
    if not tokens:
        return
    for request in _requests():
        if request.token not in tokens:
            continue
        tokens.discard(request.token)
        try:
            word = request.stop(pool, Stop.CANCELLED)
        except Exception:
            # It ends as cancelled all the same; the others must be stopped, too.
            logger.exception("Task %s[%s] was cancelled and goes on", request.name, request.id)
        else:
            logger.info("Task %s[%s] was cancelled: %s", request.name, request.id, word)
    holder.untaken(tokens)


def _requests() -> list[Request]:
    while True:
        try:
            found = {*state.reserved_requests, *state.active_requests}
        except RuntimeError:
            continue  # the event loop, in another thread, has just changed them
        return [one for one in found if isinstance(one, Request) and one.token]


@inspect_command(name=COMMAND, visible=False, args=[("token", str), ("end", str)])
def queueops_stop(panel: Any, token: str = "", end: str = "", **_: Any) -> dict[str, str]:
    """Stop the run of one delivery."""
    word = stop_run(panel.consumer.pool, token, end)
    if word:
        logger.info("Asked to stop %s (%s): %s", token, end, word)
    return {"word": word}
