"""The store's part for counters that only grow: what a queue and each of its tasks have done since ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from queueops.engine.history import (
    HOURS_KEPT,
    SPAN_MS,
    Bucket,
    combined,
    counted_name,
    read_bucket,
    read_ended,
)
from queueops.engine.replies import TOTALS
from queueops.engine.verbs import Verbs, at

__all__ = ["Attempt", "Tally", "TallyVerbs"]


class Attempt(NamedTuple):
    """One attempt that ended, in short: made for thousands at a look. ``patience_ms``: how far behind its
    ready time its priority had placed it; a deadline may have made that less.
    """

    ended_ms: int
    org: str
    wait_ms: int
    run_ms: float
    claimed_ms: int
    patience_ms: int


@dataclass(frozen=True, slots=True)
class Tally:
    """The counters of a queue at one moment.

    ``totals``: of jobs, by verb, as in :class:`queueops.engine.types.QueueSnapshot`. ``ended``: all attempts
    that ended. ``tasks``: the same by task, of tasks of which one ended in the last eight days; a task that
    comes back later starts again at 0. ``has_open_ring``: some org's lane is open, as far as is known without
    a claim.
    """

    queue: str
    now_ms: int
    totals: Mapping[str, int]
    ended: Bucket
    tasks: Mapping[str, Bucket]
    has_open_ring: bool


class TallyVerbs(Verbs):
    """Part of :class:`queueops.engine.store.Store`."""

    def tally(self, queue: str, now_ms: int | None = None) -> Tally:
        """Return the counters of ``queue``: read in one step, so a later answer is never smaller."""
        now, is_open, state, counts, lines, *tasks = self._run("tally", at(now_ms), queue)
        uncounted = [read_ended(queue, line) for line in lines]
        parts: dict[str, list[Bucket]] = {}
        for name, ever, last in zip(tasks[::3], tasks[1::3], tasks[2::3], strict=True):
            parts[name.decode()] = [read_bucket(_pairs(ever), 0), read_bucket(_pairs(last), 0)]
        first_ms = (int(now) // SPAN_MS["hour"] - HOURS_KEPT + 1) * SPAN_MS["hour"]
        alive = {*parts, *(counted_name(one.task) for one in uncounted if one.ended_ms >= first_ms)}
        for ended in uncounted:
            if (name := counted_name(ended.task)) in alive:
                parts.setdefault(name, []).append(ended.as_bucket())
        known = _pairs(state)
        return Tally(
            queue=queue,
            now_ms=int(now),
            totals={name: int(float(known.get(name.encode(), 0))) for name in TOTALS},
            ended=combined([read_bucket(_pairs(counts), 0), *(one.as_bucket() for one in uncounted)]),
            tasks={name: combined(found) for name, found in sorted(parts.items())},
            has_open_ring=bool(is_open),
        )

    def attempts(self, queue: str, count: int) -> list[Attempt]:
        """Return the latest ``count`` attempts that ended, oldest first; at most 10,000 are kept."""
        return [_attempt(line) for line in self.client.lrange(self.key("settled", queue=queue), -count, -1)]

    def stale_settles(self) -> int:
        """Return how many settles came with a token that held nothing any more, in all queues."""
        return int(self.client.hget(self.key("totals"), "stale") or 0)


def _attempt(line: bytes) -> Attempt:
    ended, _, run, wait, org, _, _, _, rank, claimed, _ = line.split(b"\t", 10)
    wait_ms, claimed_ms = int(wait), int(claimed)
    patience_ms = int(float(rank)) - claimed_ms + wait_ms
    return Attempt(int(ended), org.decode("utf-8", "replace"), wait_ms, float(run), claimed_ms, patience_ms)


def _pairs(flat: Sequence[bytes]) -> Mapping[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
