"""The store's verbs on single jobs, and those of a queue that an operator asks for once in a while."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from queueops.engine import replies
from queueops.engine.job_types import JobRow, JobSnapshot, job_rows, job_snapshot
from queueops.engine.rules.envelope import unpack
from queueops.engine.verbs import Verbs, at, steps

#: Jobs that one step of a drain moves.
DRAIN_STEP = 1_000
#: Jobs that one page of a list looks at.
PAGE = 500

#: What becomes of the jobs that wait for a dead one whose letter is closed.
Children = Literal["keep", "release", "cancel"]
RetryWord = Literal["ready", "unchanged", "unknown"]
Outcome = Literal["living", "succeeded", "cancelled", "dead", "unknown"]
_OUTCOMES: Mapping[str, Outcome] = {"cancelled": "cancelled", "dead": "dead"}


class JobVerbs(Verbs):
    """Part of :class:`queueops.engine.store.Store`."""

    def job(self, task_id: str, now_ms: int | None = None) -> JobSnapshot | None:
        """Return where the job of ``task_id`` is and what decides when it runs; ``None`` when it is over, or
        never was.
        """
        return job_snapshot(task_id, self._run("explain", at(now_ms), task_id))

    def cancel(self, task_id: str, now_ms: int | None = None, *, stop: bool = True) -> str:
        """End a job that waits, for good: ``cancelled``. Of a leased one its worker is told at the next
        renewal: ``cancelling``; it never runs again. ``unknown``: no such job lives.

        ``stop``: a run that has begun is stopped; without, it may end, as the last one.
        """
        run = "stop" if stop else "spare"
        return str(self._run("cancel", at(now_ms), task_id, run).decode())

    def hold(self, task_id: str, now_ms: int | None = None) -> str:
        """Keep a job from running until :meth:`release_job`: ``held``, ``leased`` (it runs) or
        ``unknown``.
        """
        return str(self._run("hold", at(now_ms), "hold", task_id).decode())

    def release_job(self, task_id: str, *, from_parents: bool = False, now_ms: int | None = None) -> str:
        """End a hold; the job has the rank and the due time it had: ``released``, ``unchanged`` or
        ``unknown``.

        ``from_parents``: it waits for no other job any more either, whatever has become of them.
        """
        verb = "free" if from_parents else "release"
        return str(self._run("hold", at(now_ms), verb, task_id).decode())

    def waiting_for(self, task_ids: Sequence[str]) -> dict[str, int]:
        """Return how many jobs wait for each of these tasks, without those that none waits for."""
        marks = self.client.hmget(self.key("marks"), task_ids) if task_ids else []
        sets = [
            (task_id, item[1:])
            for task_id, text in zip(task_ids, marks, strict=True)
            for item in (text or b"").decode().split("\t")
            if item.startswith("c")
        ]
        pipeline = self.client.pipeline(transaction=False)
        for task_id, queue in sets:
            pipeline.zcard(self.key("children", queue=queue, parent=task_id))
        found: dict[str, int] = {}
        for (task_id, _), number in zip(sets, pipeline.execute() if sets else [], strict=True):
            found[task_id] = found.get(task_id, 0) + number
        return found

    def unbury(self, task_ids: Sequence[str], children: Children = "keep", now_ms: int | None = None) -> int:
        """Forget dead jobs whose letters are closed; returns how many were known. A replay does it itself.

        ``children``: jobs that wait for them go on waiting (``keep``), or are released or cancelled, step by
        step, by the claims of their queues.
        """
        return sum(int(self._run("unbury", at(now_ms), children, *step)) for step in steps(task_ids, PAGE))

    def message_of(self, task_id: str) -> str | None:
        """Return Celery's message of a job that waits or runs; ``None`` when it is over, or never was."""
        entry = self.client.hget(self.key("ids"), task_id)
        if entry is None:
            return None
        queue, tag = entry.decode().split("\t")[:2]
        text = self.client.get(self.key("job", queue=queue, tag=tag))
        return None if text is None else unpack(text.decode())[1]

    def existing(self) -> dict[str, int]:
        """Return how many publishes of each task were answered by the job that had their unique key."""
        counts = self.client.hgetall(self.key("existing"))
        return {task.decode(): int(count) for task, count in counts.items()}

    def living(self, task_ids: Sequence[str]) -> set[str]:
        """Return those of these tasks whose jobs wait or run."""
        if not task_ids:
            return set()
        entries = self.client.hmget(self.key("ids"), task_ids)
        return {task_id for task_id, entry in zip(task_ids, entries, strict=True) if entry is not None}

    def job_page(
        self,
        cursor: str = "0",
        *,
        queue: str = "",
        state: str = "",
        org: str = "",
        task: str = "",
        overdue: bool = False,
        claimed_before_ms: int | None = None,
        look_at: int = PAGE,
        now_ms: int | None = None,
    ) -> tuple[list[JobRow], str]:
        """Return those of about ``look_at`` jobs that match, and the cursor of the next page (``"0"``: none).

        ``overdue``: only jobs past their deadline. ``claimed_before_ms``: of leased ones only older
        leases, and those past their run limit.
        A page may be empty though the next is not; jobs that come or go meanwhile may be missed.
        """
        filters = (queue, state, org, task, "overdue" if overdue else "")
        reply = self._run("list", cursor, look_at, *filters, at(now_ms), at(claimed_before_ms))
        return job_rows(reply[1:]), reply[0].decode()

    def retry(self, task_id: str, now_ms: int | None = None) -> RetryWord:
        """Have a job that waits for its time run now; ``unchanged``: it does not wait for one."""
        word: RetryWord = replies.words([self._run("retry", at(now_ms), task_id)])[0]  # type: ignore[assignment]
        return word

    def drain_steps(self, queue: str, until_ms: int = 0, now_ms: int | None = None) -> Iterator[int]:
        """Empty the queue :data:`DRAIN_STEP` jobs at a time; yields the number of each step.

        ``until_ms``: jobs that would start before it wait until then; 0: the waiting jobs are deleted. Who
        stops half-way has done half; the same call goes on.
        """
        while True:
            if until_ms:
                moved = int(self._run("drain", at(now_ms), queue, DRAIN_STEP, until_ms))
            else:
                moved = int(self._run("purge", at(now_ms), queue, DRAIN_STEP, ""))
            if not moved:
                return
            yield moved

    def fates(self, task_ids: Iterable[str], now_ms: int | None = None) -> dict[str, str]:
        """Return the state of each task: that of a living job, ``dead`` while its letter is open, or
        ``unknown`` (it is over, or never was).
        """
        states: dict[str, str] = {}
        for task_id in task_ids:
            job = self.job(task_id, now_ms)
            dead = job is None and self.client.hexists(self.key("graves"), task_id)
            states[task_id] = job.state if job is not None else "dead" if dead else "unknown"
        return states

    def outcomes(self, task_ids: Sequence[str], now_ms: int | None = None) -> dict[str, Outcome]:
        """Return what became of many jobs, in a few round trips: ``living``; ``succeeded``, ``cancelled`` or
        ``dead`` for two minutes at least after the end, ``dead`` also while the letter is open; ``unknown``.
        """
        found: dict[str, Outcome] = {}
        # Asked first whether it lives: who does not has left word of its end before.
        alive = self.living(task_ids)
        for step in steps(task_ids):
            pipeline = self.client.pipeline(transaction=False)
            minute = (self.now_ms() if now_ms is None else now_ms) // 60_000
            for back in range(-1, 4):
                pipeline.hmget(self.key("ended", minute=str(minute - back)), step)
            pipeline.hmget(self.key("graves"), step)
            *lines, graves = pipeline.execute()
            for place, task_id in enumerate(step):
                line = next((minute[place] for minute in lines if minute[place]), None)
                if task_id in alive:
                    found[task_id] = "living"
                elif line is not None:
                    _, _, *word = line.decode().split("\t")
                    found[task_id] = _OUTCOMES.get(word[0], "succeeded") if word else "succeeded"
                else:
                    found[task_id] = "dead" if graves[place] is not None else "unknown"
        return found

    def expired_holders(self, now_ms: int | None = None) -> int:
        """Return how many processes have leases that have lapsed and were not ended yet."""
        at_ms = self.now_ms() if now_ms is None else now_ms
        return int(self.client.zcount(self.key("holders"), "-inf", at_ms))
