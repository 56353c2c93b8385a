"""The store's verbs on one org that leaves: what is left of it beside its lanes."""

from __future__ import annotations

from collections.abc import Iterator

from queueops.engine import places
from queueops.engine.history import HOURS_OF_SLOWEST, SPAN_MS
from queueops.engine.places import PlaceVerbs

__all__ = ["MASKED", "OrgVerbs"]

#: Lines that one script masks.
MASKED = 1_000


class OrgVerbs(PlaceVerbs):
    """Part of :class:`queueops.engine.store.Store`."""

    def set_aside(self, queue: str, org: str) -> list[str]:
        """Return the task ids of the org's jobs that are in no place of its own: blocked ones, and ready ones
        of paused tasks.
        """
        places = [("blocked", ""), *(("aside", task) for task in self.paused_with_jobs(queue))]
        return [task_id for place in places for task_id in self._strays(queue, *place, org)]

    def _strays(self, queue: str, kind: str, task: str, org: str) -> Iterator[str]:
        start, looked_at = 0, places.STEP
        while looked_at == places.STEP:
            looked_at, *found = self._run("strays", queue, kind, task, start, places.STEP, org)
            yield from (task_id.decode() for task_id in found)
            start += places.STEP

    def mask_org(self, queue: str, org: str, word: str, now_ms: int | None = None) -> Iterator[int]:
        """Put ``word`` in the place of the org's name in the queue's history; yields how many lines each
        step has found. Attempts that end meanwhile may keep the name. Without a ``word`` nothing is changed.
        """
        for family in ("settled", "failures"):
            # From the newest back: what is trimmed meanwhile moves lines to places that are still to come.
            length = int(self.client.llen(self.key(family, queue=queue)))
            for start in range((length // MASKED) * MASKED, -1, -MASKED):
                yield int(self._run("mask", queue, family, "", start, MASKED, org, word))
        at_ms = self.now_ms() if now_ms is None else now_ms
        hour = at_ms // SPAN_MS["hour"]
        for number in range(hour - HOURS_OF_SLOWEST, hour + 1):
            yield int(self._run("mask", queue, "slowest", number, 0, 0, org, word))
