"""What publishers do: jobs of every kind, again, retries, replays, and what becomes of dead ones."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from queueops.engine.rules.envelope import NewJob
from tests.engine.machine.base import ORGS, PICK, QUEUES, TASKS, Base
from tests.engine.world import QUEUE


class Publishing(Base):
    """Rules of publishers."""

    @initialize(number=st.integers(2, 6))
    def begin(self, number: int) -> None:
        """Something to begin with, some of it running."""
        for at in range(number):
            self.publish_plain(QUEUES[at % 3 == 2], [ORGS[at % 2]], resource="", task=TASKS[0], once=False)
        self.claim("w1", 2, 0, QUEUES)

    @rule(
        queue=st.sampled_from((QUEUE, *QUEUES)),
        orgs=st.lists(st.sampled_from(ORGS), min_size=1, max_size=5),
        resource=st.sampled_from(("", "mail")),
        task=st.sampled_from(TASKS),
        once=st.booleans(),
    )
    def publish_plain(self, queue: str, orgs: list[str], **fields: Any) -> None:
        for org in orgs:
            job = self.world.job(org, **fields)
            self.enqueue(queue, job)
            self.published.append((queue, job))

    @rule(
        queue=st.sampled_from(QUEUES),
        org=st.sampled_from(ORGS),
        due=st.sampled_from((0, 0, 0, 500, 5000)),
        after=st.lists(PICK, min_size=1, max_size=3) | st.just([]),
        policy=st.booleans(),
        unique=st.sampled_from(("", "u1", "u2", "u3")),
        unique_ms=st.sampled_from((0, 3_600_000)),
        keep_ms=st.sampled_from((0, 0, 3_600_000)),
        once=st.booleans(),
        resource=st.sampled_from(("", "", "mail")),
        task=st.sampled_from(TASKS),
    )
    def publish(self, queue: str, org: str, due: int, after: list[int], policy: bool, **fields: Any) -> None:
        parents = tuple(dict.fromkeys(self.any_task(number) for number in after))
        if not fields["unique"]:
            fields["unique_ms"] = 0
        job = self.world.job(
            org, due_ms=due and self.now + due, after=parents, cancel_with_parent=policy, **fields
        )
        self.enqueue(queue, job)
        self.published.append((queue, job))

    @precondition(lambda self: self.published)
    @rule(number=PICK)
    def publish_again(self, number: int) -> None:
        """A publisher that had no answer: once only, also when the job has ended since."""
        queue, job = self.published[number % len(self.published)]
        if self.model.was_there(queue, job.tag, self.now):
            again = NewJob(**{**{name: getattr(job, name) for name in job.__slots__}, "repeated": True})
            self.enqueue(queue, again)

    @precondition(lambda self: self.leased())
    @rule(
        number=PICK,
        queue=st.sampled_from(QUEUES),
        due=st.sampled_from((0, 1000)),
        stale=st.booleans(),
        failed=st.booleans(),
    )
    def retry(self, number: int, queue: str, due: int, stale: bool, failed: bool) -> None:
        known = self.pick(self.leased(), number)
        token = f"{known.token}0" if stale else known.token
        job = self.world.job(
            known.job.org,
            task_id=known.job.task_id,
            supersedes=token,
            due_ms=due and self.now + due,
            resource=known.job.resource,
            task=known.job.task,
            once=known.job.once,
            counts_as_failure=failed,
        )
        if self.enqueue(queue, job) != "stale":
            self.lease_ended(known, "bad" if failed else "")
        if not stale:
            self.published.append((queue, job))

    @precondition(lambda self: self.model.dead)
    @rule(number=PICK)
    def replay(self, number: int) -> None:
        known = self.pick(list(self.model.dead.values()), number)
        first = known.job
        job = self.world.job(
            first.org,
            task_id=first.task_id,
            unique=first.unique,
            unique_ms=first.unique_ms,
            keep_ms=first.keep_ms,
            after=first.after,
            resource=first.resource,
            task=first.task,
            replays=True,
            repeated=True,
        )
        self.enqueue(known.queue, job)

    @precondition(lambda self: self.model.dead)
    @rule(number=PICK, children=st.sampled_from(("keep", "release", "cancel")))
    def discard(self, number: int, children: Any) -> None:
        task_id = self.pick(list(self.model.dead.values()), number).job.task_id
        assert self.store.unbury([task_id], children, now_ms=self.now) == 1
        del self.model.dead[task_id]
        if children == "release":
            self.model.release_children(task_id)
        elif children == "cancel":
            for child in self.model.children(task_id):
                child.doomed = True
