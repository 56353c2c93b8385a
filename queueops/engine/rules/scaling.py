"""How many slots a queue wants, and how its workers divide them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from queueops.engine.rules import values
from queueops.errors import ConfigurationError

__all__ = ["SHIPPED", "ScaleRule", "Share", "rule_from", "shares", "step"]


@dataclass(frozen=True, slots=True)
class ScaleRule:
    """The rule by which the slots of a queue follow its backlog.

    Attributes:
        up_at: more ready jobs than this, that could start now, add `up_by` slots, up to `max`.
        down_at: fewer ready jobs than this take `down_by` slots away, down to `min`.
        every: seconds from one step to the next.
    """

    up_at: int = 50
    up_by: int = 2
    max: int = 20
    down_at: int = 10
    down_by: int = 1
    min: int = 5
    every: float = 10.0


#: What holds where a queue has no rule of its own.
SHIPPED = ScaleRule()

_KEYS: Mapping[str, Any] = {
    "up_at": values.whole(0),
    "up_by": values.whole(1),
    "max": values.whole(1),
    "down_at": values.whole(0),
    "down_by": values.whole(1),
    "min": values.whole(1),
    "every": values.number(0),
}


def rule_from(given: Any) -> ScaleRule:
    """Return the rule that a setting names; what it leaves out is as shipped.

    Raises:
        ValueError: it is no mapping of these names, or its numbers contradict one another.
    """
    names = [field.name for field in fields(ScaleRule)]
    if not isinstance(given, Mapping) or not set(given) <= set(names):
        raise ValueError("a mapping of " + ", ".join(names))
    try:
        parsed = {key: values.parsed(f'"{key}"', _KEYS[key], value) for key, value in given.items()}
    except ConfigurationError as error:
        raise ValueError(f"a rule: {error}") from None
    rule = ScaleRule(**parsed)
    if rule.min > rule.max:
        raise ValueError(f"a rule whose min ({rule.min}) is at most its max ({rule.max})")
    if rule.down_at > rule.up_at:
        raise ValueError(f"a rule whose down_at ({rule.down_at}) is at most its up_at ({rule.up_at})")
    return rule


def step(
    rule: ScaleRule,
    slots: int,
    ready: int,
    *,
    waiting: int = 0,
    full: int = 0,
    cap: int | None = None,
    paused: bool = False,
) -> tuple[int, str]:
    """Return the slots that a queue wants next, and why.

    Args:
        slots: it has now.
        ready: its ready jobs.
        waiting: those of them that wait for a rate or a pause, however many slots there are.
        full: those whose org or resource runs as many as it may. More slots start none of them, fewer would:
            they ask for no slot, and keep those that are there.
        cap: jobs of the queue that may run at once; more slots than that would stand idle. None is no cap.
        paused: nothing starts, so the backlog says nothing.
    """
    if paused:
        return slots, "the queue is paused"
    most = rule.max if cap is None else max(1, min(rule.max, cap))
    least = min(rule.min, most)
    if slots < least:
        return least, f"{slots} slots are below the least of {least}"
    if slots > most:
        why = "the most of the rule" if most == rule.max else "the queue's concurrency"
        return most, f"{slots} slots are above {why}, {most}"
    startable, lasting = max(0, ready - waiting - full), max(0, ready - waiting)
    told = f"{startable} jobs are ready"
    if waiting or full:
        told = f"{startable} of {ready} ready jobs could start"
    if startable > rule.up_at:
        wanted = min(most, slots + rule.up_by)
        told += f", more than {rule.up_at}"
        return wanted, told if wanted > slots else f"{told}; {most} slots are the most"
    if lasting < rule.down_at:
        wanted = max(least, slots - rule.down_by)
        told += f", fewer than {rule.down_at}"
        return wanted, told if wanted < slots else f"{told}; {least} slots are the least"
    if startable < rule.down_at:
        return slots, f"{told}; {full} wait for jobs of their org or resource to end"
    return slots, f"{told}, between {rule.down_at} and {rule.up_at}"


@dataclass(frozen=True, slots=True)
class Share:
    """One worker in the division of slots.

    Attributes:
        name: any that sorts the same everywhere.
        least, most: slots that it can have; a worker that can not change has its number as both.
    """

    name: str
    least: int
    most: int | None = None


def shares(total: int, workers: Iterable[Share]) -> dict[str, int]:
    """Divide `total` slots evenly among workers within what each can have; the first by name get the rest.

    Whoever asks gets the same answer for the same workers, so that each can take its own part.
    """
    ordered: Sequence[Share] = sorted(workers, key=lambda one: one.name)
    given = {one.name: one.least for one in ordered}
    left = total - sum(given.values())
    while left > 0:
        # The smallest first: an even division, whatever the workers began with.
        open_ = [one for one in ordered if one.most is None or given[one.name] < one.most]
        if not open_:
            break
        poorest = min(open_, key=lambda one: given[one.name])
        given[poorest.name] += 1
        left -= 1
    return given
