"""Remote control of whole workers: quiet, stop, restart, and the number of their slots."""

from __future__ import annotations

from typing import Any

from celery import signals
from celery.utils.log import get_logger
from celery.worker import control
from celery.worker import state as worker_state
from celery.worker.control import control_command, inspect_command

from queueops.middleware import pool_size
from queueops.middleware.autoscale import Keeper
from queueops.transport.holder import Holder
from queueops.transport.holders import holders
from queueops.transport.transport import lease_thread

__all__ = ["QUIET", "RESTART", "SCALE", "STOP"]

logger = get_logger(__name__)

celerys_grow, celerys_shrink = control.pool_grow, control.pool_shrink

#: Names of the commands.
QUIET, STOP, RESTART, SCALE = "queueops_quiet", "queueops_stop_worker", "queueops_restart", "queueops_scale"


def tell(holder: Holder) -> None:
    """Let the broker know at once, and the consuming thread look."""
    if thread := lease_thread(holder):
        thread.renew_soon()
    holder.look()


@inspect_command(name=QUIET, visible=False, args=[("on", bool)])
def queueops_quiet(panel: Any, on: bool = True, **_: Any) -> dict[str, str]:
    """Take no new job, or take jobs again."""
    changed = False
    for holder in holders():
        changed |= holder.quiet != on
        holder.quiet = on
        tell(holder)
    if changed:
        logger.info("Quiet: this worker takes no new job" if on else "This worker takes jobs again")
    return {"word": ("quiet" if on else "unquiet") if changed else "unchanged"}


@inspect_command(name=STOP, visible=False)
def queueops_stop_worker(panel: Any, **_: Any) -> dict[str, str]:
    """End the worker when its running jobs have ended, as SIGTERM does."""
    logger.warning("Asked to stop by remote control")
    signals.worker_shutting_down.send(sender=panel.hostname, sig="remote control", how="Warm", exitcode=0)
    # Its loop looks at it; raising here would end a greenlet's pidbox, and tell nobody.
    worker_state.should_stop = 0
    return {"word": "stopping"}


@inspect_command(name=RESTART, visible=False)
def queueops_restart(panel: Any, **_: Any) -> dict[str, Any]:
    """Replace the pool's children, each when it has ended its job."""
    number = pool_size.renew_children(panel.consumer)
    if number is None:
        return {"word": "cannot", "children": 0}
    logger.info("Asked to restart: %d children end after their job, others take their place", number)
    return {"word": "restarting", "children": number}


@inspect_command(name=SCALE, visible=False)
def queueops_scale(panel: Any, slots: dict[str, int], **_: Any) -> dict[str, Any]:
    """Run so many jobs at once as `slots` says for this worker's name."""
    consumer = panel.consumer
    if consumer.keeper is None or not pool_size.can_change(consumer.pool):
        return {"word": "cannot", "slots": pool_size.size(consumer.pool)}
    return {"word": "scaled", "slots": consumer.keeper.for_queue(slots[panel.hostname])}


@control_command(args=[("n", int)], signature="[N=1]")
def pool_grow(panel: Any, n: int = 1, **_: Any) -> Any:
    """Grow pool by n processes/threads."""
    return _resized(panel, n, "grow", celerys_grow)


@control_command(args=[("n", int)], signature="[N=1]")
def pool_shrink(panel: Any, n: int = 1, **_: Any) -> Any:
    """Shrink pool by n processes/threads."""
    return _resized(panel, -n, "shrink", celerys_shrink)


def _resized(panel: Any, by: int, verb: str, celerys: Any) -> Any:
    """Celery's own command, where its way is not ours: threads can, and no job dies with a child."""
    consumer = panel.consumer
    keeper: Keeper | None = getattr(consumer, "keeper", None)
    if keeper is None or consumer.controller.autoscaler:
        return celerys(panel, abs(by))
    if not pool_size.can_change(consumer.pool):
        return control.nok(f"the pool {pool_size.pool_name(consumer.pool)} can not {verb}")
    slots = keeper.for_worker(pool_size.size(consumer.pool) + by)
    return control.ok(f"pool will {verb}: {slots} slots")
