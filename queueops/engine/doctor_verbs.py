"""The store's look at itself: what is kept twice, and whether both say the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from queueops.engine.keys import PATTERNS
from queueops.engine.verbs import Verbs

#: Jobs or index entries that one script looks at.
BATCH = 500
#: Orgs of a queue that are compared at one moment unless a thorough look is asked for.
ORGS_AT_ONCE = 2_000
#: Keys that one step of a walk through the keyspace asks for.
SCANNED = 1_000


@dataclass(frozen=True, slots=True)
class Difference:
    """Two keys that disagree. ``kind``: of what sort; ``what``: whose; ``wanted`` and ``found``: what each
    says.
    """

    kind: str
    what: str
    wanted: str
    found: str


def differences(reply: Sequence[Any]) -> list[Difference]:
    """Return the findings of a doctor's script."""
    texts = [value.decode() if isinstance(value, bytes) else str(value) for value in reply]
    return [Difference(*texts[start : start + 4]) for start in range(0, len(texts), 4)]


class DoctorVerbs(Verbs):
    """Part of :class:`queueops.engine.store.Store`."""

    def check_queue(
        self, queue: str, *, thorough: bool = False, repair: bool = False, now_ms: int | None = None
    ) -> tuple[list[Difference], int, bool]:
        """Compare the queue's numbers with what they count; returns what differs, how many orgs were looked
        at, and whether the queue's sums were compared too.

        Sums need all orgs at one moment: beyond :data:`ORGS_AT_ONCE` orgs each is looked at by itself, some
        hundreds a script, and the sums are left out unless ``thorough`` (up to 20,000 orgs, 20 us each).
        """
        holders = [name for (name,) in self._names("held")]
        orgs: dict[str, None] = {}
        for name, resource, org in self._names("lane", queue):
            if name == queue:
                orgs[f"{org}\t{resource}"] = None
        for family in ("org", "scheduled"):
            orgs |= {org: None for name, org in self._names(family, queue) if name == queue}
        asides = [task for name, task in self._names("aside", queue) if name == queue]
        at = "" if now_ms is None else now_ms
        mode = "repair" if repair else "check"
        given: tuple[str | int, ...] = (len(holders), len(asides), *holders, *asides)
        number = len({org.partition("\t")[0] for org in orgs})
        if thorough or number <= ORGS_AT_ONCE:
            reply = self._run("doctor", at, mode, queue, "all", *given, *orgs)
            if reply[0] >= 0:
                return differences(reply[1:]), int(reply[0]), True
        found: list[Difference] = []
        names = iter(orgs)
        while batch := list(itertools.islice(names, BATCH)):
            found += differences(self._run("doctor", at, mode, queue, "some", *given, *batch)[1:])
        return list(dict.fromkeys(found)), number, False

    def check_leases(
        self, *, repair: bool = False, now_ms: int | None = None
    ) -> tuple[list[Difference], int]:
        """Compare leases with their processes and resources; returns what differs, and how many there are."""
        holders = [name for (name,) in self._names("held")]
        resources = [name for (name,) in self._names("resource")]
        at = "" if now_ms is None else now_ms
        reply = self._run(
            "doctor_leases", at, "repair" if repair else "check", len(holders), *holders, *resources
        )
        return differences(reply[1:]), int(reply[0])

    def check_jobs(
        self, *, limit: int | None = None, repair: bool = False, now_ms: int | None = None
    ) -> tuple[list[Difference], int]:
        """Look for jobs without a place or with two, and index entries and unique keys of jobs that are gone.

        Walks through the keyspace, some hundreds a script. ``limit``: look at so many of each at most.
        Returns what differs, and how many were looked at.
        """
        found: list[Difference] = []
        looked = 0
        walks: tuple[tuple[str, Iterator[tuple[str, ...]]], ...] = (
            ("jobs", self._names("job")),
            ("index", self._task_ids()),
            ("unique", self._names("unique")),
        )
        at = "" if now_ms is None else now_ms
        mode = "repair" if repair else "check"
        for kind, names in walks:
            walk = itertools.islice(names, limit)
            while batch := list(itertools.islice(walk, BATCH)):
                looked += len(batch)
                found += differences(
                    self._run("doctor_jobs", at, mode, kind, *itertools.chain.from_iterable(batch))
                )
        return list(dict.fromkeys(found)), looked

    def _task_ids(self) -> Iterator[tuple[str, ...]]:
        for task_id, _ in self.client.hscan_iter(self.key("ids"), count=SCANNED):
            yield (task_id.decode(),)

    def _names(self, family: str, queue: str = "") -> Iterator[tuple[str, ...]]:
        """Yield the names in the keys of a family: queue, tag and so on; the last may hold colons."""
        fields = PATTERNS[family].fields
        start = self.prefix + PATTERNS[family].pattern.partition("{")[0]
        match = _escaped(start + (f"{queue}:" if queue else "")) + "*"
        for key in self.client.scan_iter(match=match, count=SCANNED):
            names = key.decode()[len(start) :].split(":", len(fields) - 1)
            if len(names) == len(fields):
                yield tuple(names)


def _escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in text)
