"""The store's part that puts jobs in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from redis.exceptions import OutOfMemoryError

from queueops.engine import replies, scripts
from queueops.engine.rules.envelope import NewJob, options, pack
from queueops.engine.verbs import STEP, Verbs, at
from queueops.errors import BrokerFull, NotReplicated, PublishError

#: Jobs that the jobs of one enqueue wait for, at most: each costs a few look-ups.
PARENTS_A_STEP = 2_000

#: How long an enqueue waits for replicas; less than a publisher's socket waits for an answer.
REPLICAS_MS = 800


def _superseded(job: NewJob) -> str:
    run_ms = "" if job.run_ms is None else f"{job.run_ms:.3f}"
    error, message = (" ".join(text.split()) for text in (job.error, job.error_message))
    return "\t".join((job.supersedes, run_ms, error[:100], message[:200])).rstrip("\t")


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


class EnqueueVerbs(Verbs):
    """Part of :class:`queueops.engine.store.Store`."""

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

    @staticmethod
    def _enqueue_args(queue: str, jobs: Sequence[NewJob], now_ms: int | None) -> list[str | int]:
        args: list[str | int] = [at(now_ms), queue]
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
