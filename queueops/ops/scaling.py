"""How many slots a queue wants, and has: wanted, scale, unscale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from queueops.conf import config
from queueops.engine.rules.scaling import ScaleRule
from queueops.engine.store import Store
from queueops.engine.types import Scale, WorkerInfo
from queueops.errors import LimitInvalid
from queueops.middleware import slot_shares, worker_control
from queueops.middleware.slot_shares import GROWING, next_step, of_setting
from queueops.ops import audit, broker, permissions, workers
from queueops.ops.pauses import milliseconds, told
from queueops.ops.permissions import Actor
from queueops.ops.worker_answers import ask
from queueops.ops.worker_command import command
from queueops.ops.workers import moment

__all__ = ["Scaled", "Wanted", "command", "scale", "unscale", "wanted"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many slots a queue wants, and why.

    Attributes:
        workers_now, slots_now: of its live workers that take jobs.
        rule: by which its backlog decides.
        held_by: who has set the number by hand; "" when the rule holds.
        held_until: when that setting ends; None without one, or when it ends by hand only.
        follows: whether a worker is there that follows the rule by itself.
    """

    queue: str
    workers_now: int
    slots_now: int
    wanted: int
    reason: str
    rule: ScaleRule
    held_by: str
    held_until: datetime | None = None
    follows: bool = False


@dataclass(frozen=True, slots=True)
class Scaled:
    """What `scale` did: slots of the queue before and after, after by worker, and in words."""

    before: int
    after: int
    by_worker: dict[str, int]
    told: str


def wanted(actor: Actor, queue: str | None = None) -> list[Wanted]:
    """How many slots each queue wants, or one.

    Raises:
        PermissionDenied: the actor may not view operations.
        UnknownQueue: neither the settings nor the broker know the queue.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.VIEW_OPERATIONS)
    with broker.store() as store:
        if queue is not None:
            workers.serving(store, queue)
        names = sorted({*config().queues, *store.queues()}) if queue is None else [queue]
        found = store.workers(leases=False)
        scales, now_ms = store.scales(names)
        return [_wanted(store, name, found, scales[name][0], now_ms) for name in names]


def _wanted(store: Store, queue: str, found: Sequence[WorkerInfo], held: Scale | None, now_ms: int) -> Wanted:
    rule = config().queue(queue).autoscale
    live = [one for one in found if queue in one.queues and one.offers]
    now = sum(one.slots for one in live)
    follows = any(one.bounds for one in live)
    if held is not None:
        until = moment(held.until_ms) if held.until_ms else None
        return Wanted(
            queue, len(live), now, held.count, slot_shares.told(held), rule, held.by, until, follows
        )
    step = next_step(store, queue, rule, now, now_ms)
    return Wanted(queue, len(live), now, step.count, step.reason, rule, "", None, follows)


def scale(actor: Actor, queue: str, count: int, *, until: datetime | None = None) -> Scaled:
    """Have the live workers of a queue run `count` jobs at once together, divided evenly, each at least one.

    The later setting wins until its end: autoscalers obey this one, beyond their own bounds too, until it
    ends, `unscale` ends it, or another one comes. Then those with an autoscaler follow the rule again, the
    others take the slots they were started with.

    Args:
        count: slots, at least 1.
        until: when it ends by itself.

    Raises:
        PermissionDenied: the actor may not operate workers.
        LimitInvalid: the count is below 1, or the time is over.
        UnknownQueue: neither the settings nor the broker know the queue.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.OPERATE_WORKER)
    if count < 1:
        raise LimitInvalid(f"A queue has at least 1 slot, not {count}; to stop its jobs pause the queue.")
    with broker.store() as store:
        live = [one for one in workers.serving(store, queue) if one.offers]
        now_ms = store.now_ms()
        until_ms = milliseconds(until)
        if until_ms and until_ms <= now_ms:
            raise LimitInvalid(f"{until} is over.")
        setting = Scale(queue, count, until_ms, now_ms, actor.name, "")
        store.set_scale(setting)
        given = of_setting(setting, live)
        asked = {one.node: given[one.holder] for one in live if one.pool in GROWING}
        answers = ask(worker_control.SCALE, {"slots": asked}, list(asked))
    by_worker = {one.node: _slots(answers.get(one.node), one) for one in live}
    before, after = sum(one.size for one in live), sum(by_worker.values())
    audit.record(actor, "scale", f"queue {queue}", told(count=str(count), until=until), abs(after - before))
    return Scaled(before, after, by_worker, _told(setting, live, answers, by_worker))


def unscale(actor: Actor, queue: str) -> bool:
    """End what `scale` has set for a queue; return whether anything was. Errors as `scale`."""
    actor.require(permissions.OPERATE_WORKER)
    with broker.store() as store:
        workers.serving(store, queue)
        ended = store.drop_scale(queue)
    audit.record(actor, "unscale", f"queue {queue}", {}, int(ended))
    return ended


def _slots(answer: Mapping[str, Any] | None, one: WorkerInfo) -> int:
    said = (answer or {}).get("slots")
    return said if isinstance(said, int) else one.size


def _told(
    setting: Scale,
    live: Sequence[WorkerInfo],
    answers: Mapping[str, Any],
    by_worker: Mapping[str, int],
) -> str:
    queue, count, after = setting.queue, setting.count, sum(by_worker.values())
    if not live:
        return f"No worker serves {queue}. Start one: {command(queue, count)}"
    lines = [f"{queue} has {after} slots on {len(live)} worker{'s' * (len(live) != 1)}."]
    silent = [one.node for one in live if one.pool in GROWING and one.node not in answers]
    if silent:
        lines.append(
            f"No answer from {', '.join(silent)}: a living worker takes its part within some seconds."
        )
    elif after < count:
        fixed = "these pools can not have more" if len(answers) < len(live) else "they have all they can have"
        lines.append(f"{count} were asked for; {fixed}. Start another: {command(queue, count - after)}")
    elif after > count:
        lines.append(f"{count} were asked for; each worker has at least one, and solo has one for ever.")
    if any(one.bounds for one in live):
        until = (
            "until you end it" if not setting.until_ms else f"until {moment(setting.until_ms).isoformat()}"
        )
        lines.append(f"Autoscalers obey this {until}; then they follow the rule again.")
    return " ".join(lines)
