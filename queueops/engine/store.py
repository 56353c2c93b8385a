"""One typed method per script: the only door to the engine's keys.

A method does its work in Redis, in one step unless it says otherwise, and raises what redis-py raises; an
enqueue on a server over ``maxmemory`` raises :class:`queueops.errors.BrokerFull`. All times are milliseconds
since the epoch by the server's clock; a verb that takes ``now_ms`` uses that instead (tests travel with it).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from queueops.engine import replies
from queueops.engine.doctor_verbs import DoctorVerbs
from queueops.engine.events import EventVerbs
from queueops.engine.gate_verbs import CONCURRENCY_LIMIT, FAIR_BY, GateVerbs
from queueops.engine.history import HistoryVerbs
from queueops.engine.job_verbs import JobVerbs
from queueops.engine.leading import Leading
from queueops.engine.org_verbs import OrgVerbs
from queueops.engine.resource_verbs import ResourceVerbs
from queueops.engine.rules.envelope import NewJob, pack
from queueops.engine.slots import Slots
from queueops.engine.survey import SurveyVerbs
from queueops.engine.tallies import TallyVerbs
from queueops.engine.types import (
    Claim,
    DeadEntry,
    OrgSnapshot,
    QueueSnapshot,
    Renewal,
    Settlement,
)
from queueops.engine.verbs import STEP, at, steps
from queueops.engine.worker_verbs import WorkerVerbs

#: Orgs, or processes, that one step looks at.
PICTURES = 40
#: Dead jobs whose queue is looked up; each comes with its whole message.
DEAD_LOOKED_AT = 50

__all__ = ["CONCURRENCY_LIMIT", "FAIR_BY", "STEP", "Store", "steps"]


class Store(
    GateVerbs,
    DoctorVerbs,
    JobVerbs,
    ResourceVerbs,
    HistoryVerbs,
    SurveyVerbs,
    OrgVerbs,
    WorkerVerbs,
    EventVerbs,
    TallyVerbs,
    Leading,
    Slots,
):
    """The engine on one Redis primary.

    ``client``: redis-py client without response decoding. ``prefix``: put before every key.
    ``lease_ms``: how long a claim is protected without a renewal.
    """

    # The life of a job

    def claim(
        self,
        queues: Sequence[str],
        free: int,
        ahead: int,
        holder: str,
        number: int,
        *,
        forget: bool = False,
        now_ms: int | None = None,
    ) -> Claim:
        """Lease up to ``free`` + ``ahead`` jobs of ``queues`` (served in that order) to ``holder``.

        ``free``: slots that can start a job now; ``ahead``: jobs wanted beyond, never of a limited org.
        ``number``: of this claim within the holder, rising. ``forget``: end the jobs at once, for a
        consumer that does not acknowledge.
        """
        args = self.claim_args(queues, free, ahead, holder, number, forget, now_ms)
        return replies.claim(self._run("claim", *args))

    def claim_args(
        self,
        queues: Sequence[str],
        free: int,
        ahead: int,
        holder: str,
        number: int,
        forget: bool = False,
        now_ms: int | None = None,
    ) -> list[str | int]:
        """Return the arguments of the script, for a caller that owns the socket (the transport)."""
        mode = "forget" if forget else "lease"
        return [at(now_ms), holder, number, free, ahead, self.lease_ms, mode, *queues]

    def settle(self, items: Iterable[Settlement], now_ms: int | None = None) -> list[str]:
        """End leases; returns ``settled`` or ``stale`` for each."""
        words: list[str] = []
        for step in steps(items):
            words += replies.words(self._run("settle", *self.settle_args(step, now_ms)))
        return words

    @staticmethod
    def settle_args(items: Sequence[Settlement], now_ms: int | None = None) -> list[str | int]:
        """Return the arguments of the script for at most :data:`STEP` items."""
        args: list[str | int] = [at(now_ms)]
        for item in items:
            detail = "" if item.outcome != "dead" else json.dumps(item.detail or {})
            failed = "f" if item.counts_as_failure else ""
            args += (item.token, item.outcome, f"{item.run_ms:.3f}", failed, detail)
        return args

    def renew(
        self,
        holder: str,
        ran: Mapping[str, float],
        *,
        answered: int,
        registration: Mapping[str, Any] | None = None,
        now_ms: int | None = None,
    ) -> Renewal:
        """Keep the holder's leases for another lease length; returns the tokens among ``ran`` that are lost,
        and those whose jobs were cancelled.

        ``ran``: ms that each job has run so far, by token. ``answered``: number of the last claim whose
        answer was read or given up; leases of claims up to it that are not in ``ran`` were never received
        and are given back.
        """
        info = "" if registration is None else json.dumps(registration)
        args: list[str | int] = [at(now_ms), holder, self.lease_ms, answered, info]
        for token, ms in ran.items():
            args += (token, f"{ms:.3f}")
        return replies.renewal(self._run("renew", *args))

    def release(
        self,
        tokens: Iterable[str],
        *,
        delay_ms: int = 0,
        lost: bool = False,
        detail: Mapping[str, Any] | None = None,
        now_ms: int | None = None,
    ) -> list[str]:
        """Give jobs back with their rank, or after ``delay_ms``; returns ``released``, ``dead``,
        ``cancelled`` (meanwhile), ``stale`` or ``gone`` each.

        ``lost``: the delivery counts; at the queue's delivery limit the job becomes a dead letter with
        ``detail``.
        """
        counted = "lost" if lost else "kept"
        words: list[str] = []
        for step in steps(tokens):
            reply = self._run("release", at(now_ms), delay_ms, counted, json.dumps(detail or {}), *step)
            words += replies.words(reply)
        return words

    def leave(self, holder: str, now_ms: int | None = None) -> int:
        """Give back all that ``holder`` still holds and strike it off; returns how many jobs that were."""
        total = 0
        while True:
            given = len(self._run("release", at(now_ms), 0, "kept", "{}", f"holder {holder}"))
            total += given
            if given < STEP:
                return total

    def reap(self, limit: int = STEP, now_ms: int | None = None) -> int:
        """Beat the pulse and end at most ``limit`` expired leases; returns how many."""
        return int(self._run("reap", at(now_ms), self.lease_ms, limit))

    def purge(self, queue: str, now_ms: int | None = None) -> int:
        """Delete the queue's waiting jobs, :data:`STEP` a step; returns how many. Leased jobs run on."""
        return sum(self.purge_steps(queue, now_ms=now_ms))

    def purge_steps(self, queue: str, org: str = "", now_ms: int | None = None) -> Iterator[int]:
        """Delete waiting jobs, :data:`STEP` a step; yields the number of each step.

        ``org``: only its jobs; those that are blocked, or whose task is paused, :meth:`set_aside` names.
        """
        while deleted := int(self._run("purge", at(now_ms), queue, STEP, org)):
            yield deleted

    def adopt(self, queue: str, found: Iterable[tuple[str, bytes, NewJob]], now_ms: int | None = None) -> int:
        """Move messages of stock Celery, given as (list, element, job), into lanes; returns how many moved.

        The leftmost elements of a list are found fastest. A ``due_ms`` in the past is when the job became
        ready, so the caller can keep stock's order by it.
        """
        moved = 0
        for step in steps(found, 100):
            args: list[str | int | bytes] = [at(now_ms), queue]
            for source, element, job in step:
                args += (source, element, job.tag, job.due_ms, pack(job))
            moved += int(self._run("adopt", *args))
        return moved

    # Pictures

    def queue_snapshot(self, queue: str, now_ms: int | None = None) -> QueueSnapshot:
        """Return the live picture of ``queue``."""
        return replies.queue_snapshot(queue, self._run("snapshot", at(now_ms), queue, ""))

    def org_snapshot(self, queue: str, org: str, now_ms: int | None = None) -> OrgSnapshot:
        """Return the live picture of ``org`` in ``queue``."""
        return replies.org_snapshot(queue, org, self._run("snapshot", at(now_ms), queue, org))

    def org_snapshots(self, queue: str, orgs: Iterable[str], now_ms: int | None = None) -> list[OrgSnapshot]:
        """Return the live pictures of ``orgs`` in ``queue``, :data:`PICTURES` a step."""
        found: list[OrgSnapshot] = []
        for step in steps(orgs, PICTURES):
            now, *pictures = self._run("orgs", at(now_ms), queue, *step)
            found += [
                replies.org_snapshot(queue, org, picture, now)
                for org, picture in zip(step, pictures, strict=True)
            ]
        return found

    def in_flight(self) -> Counter[tuple[str, str]]:
        """Return how many jobs are leased, by queue and org."""
        found: Counter[tuple[str, str]] = Counter()
        holders = self.client.zrange(self.key("holders"), 0, -1)
        for step in steps(holders, PICTURES):
            pipeline = self.client.pipeline(transaction=False)
            for holder in step:
                pipeline.hvals(self.key("held", holder=holder.decode()))
            for line in (line for lines in pipeline.execute() for line in lines):
                queue, _, org, _ = line.decode("utf-8", "replace").split("\t", 3)
                found[queue, org] += 1
        return found

    # Dead letters on their way to the database

    def dead_size(self) -> int:
        """Return how many dead jobs are not yet rows."""
        return int(self.client.xlen(self.key("dead")))

    def dead_read(self, count: int = 100, after: str = "-") -> list[DeadEntry]:
        """Return the oldest dead jobs; ``after``: the id of the last one already seen."""
        start = after if after == "-" else f"({after}"
        entries = self.client.xrange(self.key("dead"), start, "+", count)
        return [replies.dead_entry(entry) for entry in entries]

    def dead_queues(self) -> Counter[str]:
        """Return how many dead jobs of each queue are not yet rows; of more than :data:`DEAD_LOOKED_AT` the
        queues are told from the oldest.
        """
        total = self.dead_size()
        if not total:
            return Counter()
        entries = self.client.xrange(self.key("dead"), "-", "+", DEAD_LOOKED_AT)
        found = Counter(fields[b"queue"].decode() for _, fields in entries)
        if len(entries) < total and found:
            found = Counter({queue: round(number * total / len(entries)) for queue, number in found.items()})
        return found

    def dead_trim(self, ids: Sequence[str]) -> int:
        """Delete entries that are safe elsewhere; returns how many."""
        return int(self.client.xdel(self.key("dead"), *ids)) if ids else 0
