"""What operators do to jobs: cancel, hold, release, purge."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.engine.machine.base import PICK, QUEUES, Base


class Handling(Base):
    """Rules of operators."""

    @rule(number=PICK, stop=st.booleans())
    def cancel(self, number: int, stop: bool) -> None:
        self.cancel_task(self.any_task(number), stop)

    @precondition(lambda self: self.leased())
    @rule(number=PICK, stop=st.booleans())
    def cancel_leased(self, number: int, stop: bool) -> None:
        self.cancel_task(self.pick(self.leased(), number).job.task_id, stop)

    def cancel_task(self, task_id: str, stop: bool) -> None:
        word = self.store.cancel(task_id, now_ms=self.now, stop=stop)
        assert word == self.model.cancel(task_id, self.now, stop)

    @rule(number=PICK)
    def hold(self, number: int) -> None:
        task_id = self.any_task(number)
        assert self.store.hold(task_id, now_ms=self.now) == self.model.hold(task_id)

    @rule(number=PICK)
    def release_job(self, number: int) -> None:
        task_id = self.any_task(number)
        assert self.store.release_job(task_id, now_ms=self.now) == self.model.release_job(task_id)

    @rule(queue=st.sampled_from(QUEUES))
    def purge(self, queue: str) -> None:
        number = self.store.purge(queue, now_ms=self.now)
        waiting = [job for job in self.model.live.values() if job.queue == queue and not job.token]
        gone = [job for job in waiting if job.doomed]
        assert len(waiting) - len(gone) <= number <= len(waiting)
        for job in waiting:
            self.model.end(job.job.task_id, "cancelled", self.now)
