"""What the engine promises of single jobs, in plain Python and without any speed: the machine compares both.

What claims do step by step (release children, cancel them) the model does at once; until it is seen to be
done, such a job is ``loose`` (may still be blocked) or ``doomed`` (may be gone already).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from queueops.engine.rules.envelope import NewJob
from queueops.errors import UnknownParent

#: Deliveries after which a lost job is dead.
DELIVERIES = 3
REMEMBERED_MS = 120_000


@dataclass
class ModelJob:
    """A job that lives."""

    job: NewJob
    queue: str
    waits: set[str] = field(default_factory=set)
    held: bool = False
    due_ms: int = 0
    was_due: bool = False  # before the clock stepped back
    token: str = ""
    holder: str = ""
    deliveries: int = 0
    cancelled: bool = False
    stopped: bool = False
    loose: bool = False
    doomed: bool = False

    @property
    def is_waiting(self) -> bool:
        """Whether it may be claimed once its time has come and its gates are open."""
        return not (self.waits or self.held or self.token)

    def states(self, now_ms: int) -> set[str]:
        """Where the engine may have it."""
        if self.token:
            return {"leased"}
        if not self.is_waiting:
            return {"blocked"}
        # A due job stays among the scheduled ones until a claim looks.
        found = {"scheduled"} if self.due_ms > now_ms and not self.was_due else {"ready", "scheduled"}
        return found | ({"blocked"} if self.loose else set())


class Model:
    """Jobs by task id, and what is remembered of those that have ended."""

    def __init__(self) -> None:
        self.live: dict[str, ModelJob] = {}
        self.dead: dict[str, ModelJob] = {}
        self.outcomes: dict[int, dict[str, str]] = defaultdict(dict)
        self.kept: dict[str, int] = {}
        self.tags: dict[tuple[str, str], int] = {}
        self.uniques: dict[str, tuple[str, int]] = {}

    # What an enqueue answers

    def enqueue(self, queue: str, job: NewJob, now_ms: int) -> str:
        """Return the word that the engine must answer, and note the job; raises what it must raise."""
        known = self.live.get(job.task_id)
        if job.repeated and self.was_there(queue, job.tag, now_ms):
            return "duplicate"
        if job.supersedes:
            return self._retry(queue, job, known, now_ms)
        parents = () if job.replays else job.after
        states = {parent: self.parent_state(parent, now_ms) for parent in parents}
        for parent, state in states.items():
            if state is None:
                raise UnknownParent(parent)
        if job.cancel_with_parent and "dead" in states.values():
            return "cancelled"
        if job.unique:
            holder = self.unique_holder(job.unique, now_ms)
            if holder:
                return f"existing {holder}"
            self.uniques[job.unique] = (job.task_id, now_ms + job.unique_ms if job.unique_ms else 0)
        if job.replays:
            self.dead.pop(job.task_id, None)
        waits = {parent for parent, state in states.items() if state != "succeeded"}
        made = ModelJob(job, queue, waits, due_ms=job.due_ms)
        self.live[job.task_id] = made
        self._look_for_doom()
        if made.waits:
            return "blocked"
        return "scheduled" if job.due_ms > now_ms else "ready"

    def _retry(self, queue: str, job: NewJob, known: ModelJob | None, now_ms: int) -> str:
        if known is None or known.token != job.supersedes:
            return "stale"
        if known.cancelled:
            self.end(job.task_id, "cancelled", now_ms)
            return "cancelled"
        self.tags[known.queue, known.job.tag] = now_ms
        first = known.job
        kept = replace(job, unique=first.unique, unique_ms=first.unique_ms, keep_ms=first.keep_ms)
        self.live[job.task_id] = ModelJob(kept, queue, due_ms=job.due_ms)
        return "scheduled" if job.due_ms > now_ms else "ready"

    def parent_state(self, task_id: str, now_ms: int) -> str | None:
        """``live``, ``dead`` (or cancelled), ``succeeded``, or ``None``: nobody knows it."""
        if task_id in self.live:
            return "live"
        if task_id in self.dead:
            return "dead"
        for minute in self._minutes(now_ms):
            outcome = self.outcomes[minute].get(task_id)
            if outcome in ("succeeded", "cancelled"):
                return "dead" if outcome == "cancelled" else outcome
        return "succeeded" if self.kept.get(task_id, 0) > now_ms else None

    def unique_holder(self, digest: str, now_ms: int) -> str | None:
        """The task that holds a key now."""
        holder, until_ms = self.uniques.get(digest, ("", 0))
        holds = until_ms > now_ms if until_ms else holder in self.live
        return holder if holds else None

    def was_there(self, queue: str, tag: str, now_ms: int) -> bool:
        """Whether this message is a job, or was one lately."""
        if any((known.queue, known.job.tag) == (queue, tag) for known in self.live.values()):
            return True
        ended = self.tags.get((queue, tag))
        return ended is not None and ended // 60_000 in self._minutes(now_ms)

    @staticmethod
    def _minutes(now_ms: int) -> range:
        return range(now_ms // 60_000 + 1, now_ms // 60_000 - 3, -1)

    # What becomes of a job

    def end(self, task_id: str, outcome: str, now_ms: int) -> None:
        """A job is over."""
        known = self.live.pop(task_id)
        self.outcomes[now_ms // 60_000][task_id] = outcome
        self.tags[known.queue, known.job.tag] = now_ms
        if known.job.unique and (outcome != "succeeded" or not known.job.unique_ms):
            holder, _ = self.uniques[known.job.unique]
            if holder == task_id:
                del self.uniques[known.job.unique]
        if outcome == "succeeded":
            self.release_children(task_id)
            if known.job.keep_ms:
                self.kept[task_id] = now_ms + known.job.keep_ms + REMEMBERED_MS
        if outcome == "dead":
            self.dead[task_id] = known
        self._look_for_doom()

    def release_children(self, task_id: str) -> None:
        """Nobody waits for this task any more."""
        for child in self.children(task_id):
            child.waits.discard(task_id)
            child.loose = True

    def children(self, task_id: str) -> Iterator[ModelJob]:
        """Jobs that wait for this task."""
        return (child for child in self.live.values() if task_id in child.waits)

    def _look_for_doom(self) -> None:
        for job in self.live.values():
            job.doomed = job.job.cancel_with_parent and bool(job.waits - self.live.keys())

    def give_back(self, task_id: str, now_ms: int, *, lost: bool, due_ms: int = 0) -> str:
        """A lease ended without an outcome; returns the word of a release."""
        known = self.live[task_id]
        if known.cancelled:
            self.end(task_id, "cancelled", now_ms)
            return "cancelled"
        if lost and (known.job.once or known.deliveries >= DELIVERIES):
            self.end(task_id, "dead", now_ms)
            return "dead"
        if not lost:
            known.deliveries -= 1
        known.token = known.holder = ""
        known.due_ms, known.was_due = due_ms, False
        return "released"

    def cancel(self, task_id: str, now_ms: int, stop: bool) -> str:
        """Return the word of a cancel; ``stop``: a run is to be stopped, not only to be the last one."""
        known = self.live.get(task_id)
        if known is None:
            return "unknown"
        if known.token:
            known.cancelled, known.stopped = True, known.stopped or stop
            return "cancelling"
        self.end(task_id, "cancelled", now_ms)
        return "cancelled"

    def hold(self, task_id: str) -> str:
        """Return the word of a hold."""
        known = self.live.get(task_id)
        if known is None:
            return "unknown"
        if known.token:
            return "leased"
        known.held = True
        return "held"

    def release_job(self, task_id: str) -> str:
        """Return the word of the end of a hold."""
        known = self.live.get(task_id)
        if known is None:
            return "unknown"
        was, known.held = known.held, False
        return "released" if was else "unchanged"
