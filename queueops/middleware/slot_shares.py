"""How the workers of a queue divide slots, and what the queue's rule wants next.

Workers and operators ask the same functions, so that what a verb foretells is what the workers do.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from queueops.engine.rules.scaling import ScaleRule, Share, shares, step
from queueops.engine.store import Store
from queueops.engine.types import Scale, WorkerInfo

__all__ = ["GROWING", "next_step", "of_rule", "of_setting", "told"]

#: Gates that time opens, and those that the end of a job opens. An org's share grows with the slots, so it is
#: neither. A resource's ring does not say which of its gates is closed.
_BY_TIME, _BY_NUMBER = frozenset({"pause", "org_rate"}), frozenset({"org_concurrency", "resource"})
#: Pools whose number of slots can change.
GROWING = frozenset({"prefork", "threads", "gevent", "eventlet"})


def next_step(store: Store, queue: str, rule: ScaleRule, slots: int, now_ms: int) -> Scale:
    """The slots that the rule wants of a queue that has `slots` now."""
    seen = store.queue_snapshot(queue)
    waiting, full = 0, 0
    if seen.ready >= rule.down_at:  # otherwise it makes no difference why they wait
        kept, _ = store.kept_places(queue)
        waiting = sum(one.jobs for one in kept if one.gate in _BY_TIME)
        full = sum(one.jobs for one in kept if one.gate in _BY_NUMBER)
    count, reason = step(
        rule,
        slots,
        seen.ready,
        waiting=waiting,
        full=full,
        cap=seen.concurrency,
        paused=seen.paused is not None,
    )
    return Scale(queue, count, 0, now_ms, "", reason)


def of_setting(setting: Scale, workers: Sequence[WorkerInfo]) -> dict[str, int]:
    """Slots by holder: what a person set counts for each worker that can change, beyond its bounds too."""
    return _divided(setting, workers, {one.holder: (1, None) for one in workers if one.pool in GROWING})


def of_rule(wanted: Scale, workers: Sequence[WorkerInfo]) -> dict[str, int]:
    """Slots by holder: the rule moves workers with an autoscaler only, within their bounds."""
    return _divided(wanted, workers, {one.holder: one.bounds for one in workers if one.bounds})


def _divided(
    wanted: Scale, workers: Sequence[WorkerInfo], room: dict[str, tuple[int, int | None]]
) -> dict[str, int]:
    # A worker that is quiet or ends offers nothing: its part is the others'.
    live = [one for one in workers if wanted.queue in one.queues and one.offers]
    return shares(
        wanted.count, (Share(one.holder, *room.get(one.holder, (one.size, one.size))) for one in live)
    )


def told(setting: Scale) -> str:
    """A setting in words."""
    until = "until somebody ends it"
    if setting.until_ms:
        until = f"until {datetime.fromtimestamp(setting.until_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return f"{setting.by} set {setting.count} slots for {setting.queue} {until}"
