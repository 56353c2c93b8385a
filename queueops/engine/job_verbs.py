"""The store's verbs on single jobs, and those of a queue that an operator asks for once in a while."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from queueops.engine import replies
from queueops.engine.job_types import JobRow, JobSnapshot, job_rows, job_snapshot
from queueops.engine.keys import Keys

#: Jobs that one step of a drain moves.
DRAIN_STEP = 1_000
#: Jobs that one page of a list looks at.
PAGE = 500

RetryWord = Literal["ready", "unchanged", "unknown"]


def _at(now_ms: int | None) -> int | str:
    return "" if now_ms is None else now_ms


class JobVerbs:
    """Part of :class:`queueops.engine.store.Store`."""

    client: Any
    key: Keys

    def _run(self, name: str, *args: str | int | float | bytes) -> Any:
        raise NotImplementedError

    def job(self, task_id: str, now_ms: int | None = None) -> JobSnapshot | None:
        """Return where the job of ``task_id`` is and what decides when it runs; ``None`` when it is over, or
        never was.
        """
        return job_snapshot(task_id, self._run("explain", _at(now_ms), task_id))

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

        ``overdue``: only jobs past their deadline. ``claimed_before_ms``: of leased ones only older leases.
        A page may be empty though the next is not; jobs that come or go meanwhile may be missed.
        """
        filters = (queue, state, org, task, "overdue" if overdue else "")
        reply = self._run("list", cursor, look_at, *filters, _at(now_ms), _at(claimed_before_ms))
        return job_rows(reply[1:]), reply[0].decode()

    def retry(self, task_id: str, now_ms: int | None = None) -> RetryWord:
        """Have a job that waits for its time run now; ``unchanged``: it does not wait for one."""
        word: RetryWord = replies.words([self._run("retry", _at(now_ms), task_id)])[0]  # type: ignore[assignment]
        return word

    def drain_steps(self, queue: str, until_ms: int = 0, now_ms: int | None = None) -> Iterator[int]:
        """Empty the queue :data:`DRAIN_STEP` jobs at a time; yields the number of each step.

        ``until_ms``: jobs that would start before it wait until then; 0: the waiting jobs are deleted. Who
        stops half-way has done half; the same call goes on.
        """
        while True:
            if until_ms:
                moved = int(self._run("drain", _at(now_ms), queue, DRAIN_STEP, until_ms))
            else:
                moved = int(self._run("purge", _at(now_ms), queue, DRAIN_STEP))
            if not moved:
                return
            yield moved
