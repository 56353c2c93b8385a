"""One typed method per script: the only door to the engine's keys.

A method does its work in Redis, in one step unless it says otherwise, and raises what redis-py raises; an
enqueue on a server over ``maxmemory`` raises :class:`queueops.errors.BrokerFull`. All times are milliseconds
since the epoch by the server's clock; a verb that takes ``now_ms`` uses that instead (tests travel with it).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import redis
from redis.exceptions import OutOfMemoryError

from queueops.engine import replies, scripts
from queueops.engine.doctor_verbs import DoctorVerbs
from queueops.engine.history import HistoryVerbs
from queueops.engine.job_verbs import JobVerbs
from queueops.engine.keys import Keys
from queueops.engine.leading import Leading
from queueops.engine.resource_verbs import ResourceVerbs
from queueops.engine.rules.envelope import NewJob, options, pack
from queueops.engine.rules.gates import Limits, pack_limits, unpack_limits
from queueops.engine.slots import Slots
from queueops.engine.types import (
    Claim,
    DeadEntry,
    OrgSnapshot,
    Pause,
    QueueSnapshot,
    Renewal,
    Settlement,
    WorkerInfo,
)
from queueops.errors import BrokerFull, LimitInvalid, NotReplicated, PublishError

#: Jobs or leases that one script call handles at most, so that Redis is never held for long.
STEP = 500

#: Jobs that the jobs of one enqueue wait for, at most: each costs a few look-ups.
PARENTS_A_STEP = 2_000

#: How long an enqueue waits for replicas; less than a publisher's socket waits for an answer.
REPLICAS_MS = 800

#: Most jobs in flight that a queue's concurrency may name.
CONCURRENCY_LIMIT = 1_000_000
#: What orgs share a queue by: worker time, or number of jobs.
FAIR_BY = ("time", "count")

Item = TypeVar("Item")


def _at(now_ms: int | None) -> int | str:
    return "" if now_ms is None else now_ms


def _whose(org: str, task: str, resource: str) -> tuple[str, str]:
    given = [(kind, name) for kind, name in (("org", org), ("task", task), ("resource", resource)) if name]
    if len(given) > 1:
        raise ValueError("pause and resume take an org, a task or a resource, not several")
    return given[0] if given else ("queue", "")


def _superseded(job: NewJob) -> str:
    run_ms = "" if job.run_ms is None else f"{job.run_ms:.3f}"
    error, message = (" ".join(text.split()) for text in (job.error, job.error_message))
    return "\t".join((job.supersedes, run_ms, error[:100], message[:200])).rstrip("\t")


def steps(items: Iterable[Item], size: int = STEP) -> Iterator[list[Item]]:
    """Yield ``items`` in lists of at most ``size``."""
    iterator = iter(items)
    while step := list(itertools.islice(iterator, size)):
        yield step


def enqueue_steps(jobs: Iterable[NewJob]) -> Iterator[list[NewJob]]:
    """Yield ``jobs`` in lists that one call of the script may take."""
    step: list[NewJob] = []
    parents = 0
    for job in jobs:
        if step and (len(step) == STEP or parents + len(job.after) > PARENTS_A_STEP):
            yield step
            step, parents = [], 0
        step.append(job)
        parents += len(job.after)
    if step:
        yield step


class Store(DoctorVerbs, JobVerbs, ResourceVerbs, HistoryVerbs, Leading, Slots):
    """The engine on one Redis primary.

    ``client``: redis-py client without response decoding. ``prefix``: put before every key.
    ``lease_ms``: how long a claim is protected without a renewal.
    """

    def __init__(self, client: redis.Redis, *, prefix: str = "", lease_ms: int = 30_000) -> None:
        self.client: Any = client  # its annotations allow for text where we only read bytes
        self.prefix = prefix
        self.lease_ms = lease_ms
        self.key = Keys(prefix)

    def _run(self, name: str, *args: str | int | float | bytes) -> Any:
        return scripts.run(self.client, self.prefix, name, *args)

    # The life of a job

    def enqueue(self, queue: str, jobs: Iterable[NewJob], now_ms: int | None = None) -> list[str]:
        """Put jobs into ``queue``; returns a word each: ``ready``, ``scheduled``, ``blocked``, or why nothing
        was written.

        Atomic for up to :data:`STEP` jobs that wait for at most :data:`PARENTS_A_STEP` others in all.
        ``duplicate``: (queue, tag) is there already. ``existing <task id>``: that job holds the unique key.
        ``stale``: the lease that the job supersedes was lost, so another delivery owns it. ``cancelled``: the
        job it would be a retry of was, or a parent with which it is.
        Raises :class:`UnknownParent` and :class:`QueueFull` before anything of the step was written; their
        ``enqueued`` names the jobs of the steps before. Raises :class:`NotReplicated` after it was written,
        where a job of it asks for replicas that did not confirm.
        """
        words: list[str] = []
        sent: list[str] = []
        for step in enqueue_steps(jobs):
            try:
                words += self._enqueue_step(queue, step, now_ms)
            except PublishError as error:
                error.enqueued = tuple(sent)
                raise
            sent += (job.task_id for job in step)
        return words

    def _enqueue_step(self, queue: str, jobs: Sequence[NewJob], now_ms: int | None) -> list[str]:
        args = self._enqueue_args(queue, jobs, now_ms)
        wanted = confirmed = max(job.replicas for job in jobs)
        try:
            if wanted:
                reply, confirmed = scripts.run_replicated(
                    self.client, self.prefix, "enqueue", wanted, REPLICAS_MS, *args
                )
            else:
                reply = self._run("enqueue", *args)
        except OutOfMemoryError as error:
            raise BrokerFull from error
        words = replies.enqueued(queue, reply)
        # A retry is told to nobody who could do something about it; refused, it would both wait and be dead.
        if confirmed < wanted and not all(job.supersedes for job in jobs):
            unsure = NotReplicated(wanted, confirmed)
            unsure.words = tuple(words)
            raise unsure
        return words

    def send_jobs(self, queue: str, jobs: Sequence[NewJob]) -> Callable[[], list[str]]:
        """Send at most :data:`STEP` jobs to ``queue``; returns the function that waits for their words.

        So a caller can make the next jobs while the server takes these. It must call the function, once.
        """
        if any(job.replicas for job in jobs):
            return lambda: self._enqueue_step(queue, jobs, None)
        answer = scripts.send(self.client, self.prefix, "enqueue", *self._enqueue_args(queue, jobs, None))

        def words() -> list[str]:
            try:
                return replies.enqueued(queue, answer())
            except OutOfMemoryError as error:
                raise BrokerFull from error

        return words

    def send_due(self, name: str, lease: str, queue: str, job: NewJob, due: str) -> str:
        """Enqueue the job of a due time as the leader of ``name``; see :meth:`enqueue_due`."""
        return self.enqueue_due(name, lease, queue, self._enqueue_args(queue, [job], None), due)

    @staticmethod
    def _enqueue_args(queue: str, jobs: Sequence[NewJob], now_ms: int | None) -> list[str | int]:
        args: list[str | int] = [_at(now_ms), queue]
        for job in jobs:
            args += (
                job.tag,
                job.task_id,
                job.org,
                job.resource,
                job.patience_ms,
                job.deadline_ms,
                job.due_ms,
                options(job),
                _superseded(job) if job.supersedes else "",
                pack(job),
            )
        return args

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
        return [_at(now_ms), holder, number, free, ahead, self.lease_ms, mode, *queues]

    def settle(self, items: Iterable[Settlement], now_ms: int | None = None) -> list[str]:
        """End leases; returns ``settled`` or ``stale`` for each."""
        words: list[str] = []
        for step in steps(items):
            words += replies.words(self._run("settle", *self.settle_args(step, now_ms)))
        return words

    @staticmethod
    def settle_args(items: Sequence[Settlement], now_ms: int | None = None) -> list[str | int]:
        """Return the arguments of the script for at most :data:`STEP` items."""
        args: list[str | int] = [_at(now_ms)]
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
        args: list[str | int] = [_at(now_ms), holder, self.lease_ms, answered, info]
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
            reply = self._run("release", _at(now_ms), delay_ms, counted, json.dumps(detail or {}), *step)
            words += replies.words(reply)
        return words

    def leave(self, holder: str, now_ms: int | None = None) -> int:
        """Give back all that ``holder`` still holds and strike it off; returns how many jobs that were."""
        total = 0
        while True:
            given = len(self._run("release", _at(now_ms), 0, "kept", "{}", f"holder {holder}"))
            total += given
            if given < STEP:
                return total

    def reap(self, limit: int = STEP, now_ms: int | None = None) -> int:
        """Beat the pulse and end at most ``limit`` expired leases; returns how many."""
        return int(self._run("reap", _at(now_ms), self.lease_ms, limit))

    def purge(self, queue: str, now_ms: int | None = None) -> int:
        """Delete the queue's waiting jobs, :data:`STEP` a step; returns how many. Leased jobs run on."""
        total = 0
        while deleted := int(self._run("purge", _at(now_ms), queue, STEP)):
            total += deleted
        return total

    def adopt(self, queue: str, found: Iterable[tuple[str, bytes, NewJob]], now_ms: int | None = None) -> int:
        """Move messages of stock Celery, given as (list, element, job), into lanes; returns how many moved.

        The leftmost elements of a list are found fastest. A ``due_ms`` in the past is when the job became
        ready, so the caller can keep stock's order by it.
        """
        moved = 0
        for step in steps(found, 100):
            args: list[str | int | bytes] = [_at(now_ms), queue]
            for source, element, job in step:
                args += (source, element, job.tag, job.due_ms, pack(job))
            moved += int(self._run("adopt", *args))
        return moved

    # Gates

    def pause(
        self,
        queue: str,
        org: str = "",
        *,
        task: str = "",
        resource: str = "",
        until_ms: int = 0,
        by: str = "",
        reason: str = "",
        now_ms: int | None = None,
    ) -> None:
        """Close the queue, or one org or one task's name in it, or a resource (``queue`` is then ``""``: it
        has one gate for all), until ``until_ms`` (0 = until resumed).
        """
        by, reason = by.replace("\t", " "), reason.replace("\t", " ")
        self._run(
            "pause", _at(now_ms), "pause", queue, *_whose(org, task, resource), until_ms, by, reason, ""
        )

    def resume(
        self,
        queue: str,
        org: str = "",
        *,
        task: str = "",
        resource: str = "",
        ramp_until_ms: int = 0,
        now_ms: int | None = None,
    ) -> bool:
        """Open what :meth:`pause` closed; returns whether it was closed.

        ``ramp_until_ms``: a queue opens gradually until then; its jobs in flight grow from 1 to its
        concurrency, or to its workers' slots.
        """
        ramp = ramp_until_ms or ""
        word = self._run("pause", _at(now_ms), "resume", queue, *_whose(org, task, resource), 0, "", "", ramp)
        return bool(word == b"resumed")

    def paused(self, queue: str, now_ms: int | None = None) -> dict[str, Pause]:
        """Return the queue's pauses that hold, by org; the queue's own is under ``""``."""
        settings = replies.texts(self.client.hgetall(self.key("gates", queue=queue)))
        return self._holding(settings, "!", now_ms)

    def paused_tasks(self, queue: str, now_ms: int | None = None) -> dict[str, Pause]:
        """Return the pauses of single tasks in the queue that hold, by the task's name."""
        settings = replies.texts(self.client.hgetall(self.key("gates", queue=queue)))
        return self._holding(settings, "#", now_ms)

    def _holding(self, settings: Mapping[str, str], mark: str, now_ms: int | None) -> dict[str, Pause]:
        pauses = {name[1:]: replies.pause(text) for name, text in settings.items() if name.startswith(mark)}
        if any(pause.until_ms for pause in pauses.values()):
            at_ms = self.now_ms() if now_ms is None else now_ms
            pauses = {org: pause for org, pause in pauses.items() if not 0 < pause.until_ms <= at_ms}
        return pauses

    def set_queue(
        self,
        queue: str,
        *,
        concurrency: int | None = None,
        fair_by: str = "time",
        delivery_limit: int = 3,
        exempt_org: str = "",
        max_ready: int | None = None,
        max_ready_per_org: int | None = None,
        now_ms: int | None = None,
    ) -> int:
        """Publish a queue's settings; returns how many changed.

        ``exempt_org``: the default org, which the queue's default limits skip. ``max_ready``,
        ``max_ready_per_org``: how many jobs may be ready, in the queue and of one org in it (the exempt one
        excepted), after a first enqueue.
        """
        if concurrency is not None and not 0 <= concurrency <= CONCURRENCY_LIMIT:
            raise LimitInvalid(
                f"concurrency must be between 0 and {CONCURRENCY_LIMIT:,} jobs, got {concurrency}"
            )
        if fair_by not in FAIR_BY:
            raise LimitInvalid(f"fair_by must be one of {', '.join(FAIR_BY)}, got {fair_by!r}")
        if delivery_limit < 1:
            raise LimitInvalid(f"delivery limit must be at least 1, got {delivery_limit}")
        for name, limit in (("max_ready", max_ready), ("max_ready_per_org", max_ready_per_org)):
            if limit is not None and limit < 0:
                raise LimitInvalid(f"{name} must be at least 0 jobs, got {limit}")
        settings = {
            "backlog": "" if max_ready is None else str(max_ready),
            "org_backlog": "" if max_ready_per_org is None else str(max_ready_per_org),
            "concurrency": "" if concurrency is None else str(concurrency),
            "fair_by": fair_by,
            "deliveries": str(delivery_limit),
            "exempt": exempt_org,
        }
        return int(self._run("limits", _at(now_ms), queue, *itertools.chain(*settings.items())))

    def set_limits(
        self,
        queue: str,
        limits: Mapping[str, Limits | None],
        then: Mapping[str, Limits] | None = None,
        now_ms: int | None = None,
    ) -> int:
        """Publish limits by org (``""``: the queue's default); ``None`` deletes. Returns how many changed.

        ``then``: the limits that follow when those with an ``until_ms`` end; without, the default follows.
        """
        changed = 0
        for step in steps(limits.items()):
            args: list[str] = []
            for org, value in step:
                after = then.get(org) if then and value is not None and value.until_ms else None
                args += (f"={org}", "" if value is None else pack_limits(value, after))
            changed += int(self._run("limits", _at(now_ms), queue, *args))
        return changed

    def read_limits(self, queue: str) -> dict[str, Limits]:
        """Return what is published for ``queue``, by org; the default is under ``""``."""
        settings = replies.texts(self.client.hgetall(self.key("gates", queue=queue)))
        published = {field[1:]: text for field, text in settings.items() if field.startswith("=")}
        return {org: unpack_limits(text)[0] for org, text in published.items()}

    # Pictures

    def queues(self) -> list[str]:
        """Return the names of all queues that ever had a job."""
        return sorted(name.decode() for name in self.client.smembers(self.key("queues")))

    def queue_snapshot(self, queue: str, now_ms: int | None = None) -> QueueSnapshot:
        """Return the live picture of ``queue``."""
        return replies.queue_snapshot(queue, self._run("snapshot", _at(now_ms), queue, ""))

    def org_snapshot(self, queue: str, org: str, now_ms: int | None = None) -> OrgSnapshot:
        """Return the live picture of ``org`` in ``queue``."""
        return replies.org_snapshot(queue, org, self._run("snapshot", _at(now_ms), queue, org))

    def workers(self) -> list[WorkerInfo]:
        """Return the registered workers."""
        found = replies.texts(self.client.hgetall(self.key("workers")))
        holders = self.client.zrange(self.key("holders"), 0, -1, withscores=True)
        expiries = {name.decode(): int(ms) for name, ms in holders}
        leases = {holder: self.client.hlen(self.key("held", holder=holder)) for holder in found}
        return [
            replies.worker(holder, json.loads(info), expiries.get(holder, 0), leases[holder])
            for holder, info in sorted(found.items())
        ]

    def now_ms(self) -> int:
        """Return the server's time."""
        seconds, micros = self.client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    # Dead letters on their way to the database

    def dead_size(self) -> int:
        """Return how many dead jobs are not yet rows."""
        return int(self.client.xlen(self.key("dead")))

    def dead_read(self, count: int = 100, after: str = "-") -> list[DeadEntry]:
        """Return the oldest dead jobs; ``after``: the id of the last one already seen."""
        start = after if after == "-" else f"({after}"
        entries = self.client.xrange(self.key("dead"), start, "+", count)
        return [replies.dead_entry(entry) for entry in entries]

    def dead_trim(self, ids: Sequence[str]) -> int:
        """Delete entries that are safe elsewhere; returns how many."""
        return int(self.client.xdel(self.key("dead"), *ids)) if ids else 0
