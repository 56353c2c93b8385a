"""What all rules share: the store, the model, the clock, and how jobs are enqueued, claimed and ended."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from queueops.engine.resource_verbs import ResourceSnapshot
from queueops.engine.rules.envelope import NewJob
from queueops.engine.types import Claim, Settlement
from queueops.errors import UnknownParent
from tests.engine.model import Model, ModelJob
from tests.engine.model_breaker import ModelBreaker, Verdict
from tests.engine.model_gates import NOTICED_MS, Gate, Gates
from tests.engine.world import QUEUE, World

ORGS = ("a", "b")
TASKS = ("tasks.work", "tasks.other")
QUEUES = (QUEUE, "bulk")
HOLDERS = ("w1", "w2")
MAIL: Gate = ("resource", "", "mail")
GATES: list[Gate] = [
    *(("queue", queue, "") for queue in QUEUES),
    *(("org", queue, org) for queue in QUEUES for org in ORGS),
    *(("task", queue, task) for queue in QUEUES for task in TASKS),
    MAIL,
]
#: A beat and a renewal at least this often, as of a living worker.
BEAT_MS = 20_000

PICK = st.integers(0, 1_000)
_numbers = itertools.count(1)


def gates_of(queue: str, job: NewJob) -> list[Gate]:
    """What a claim of this job goes through."""
    gates: list[Gate] = [("queue", queue, ""), ("org", queue, job.org), ("task", queue, job.task)]
    return [*gates, ("resource", "", job.resource)] if job.resource else gates


class Base(RuleBasedStateMachine):
    """Jobs of two orgs in two queues, two worker processes, one resource, one clock."""

    port: ClassVar[int]

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.port, f"machine{next(_numbers)}:")
        self.store = self.world.store
        self.model = Model()
        self.gates = Gates(self.world.now)
        self.slots: dict[str, tuple[int, int]] = {}  # of code that is no job: until when, and for how long
        self.beaten_ms = self.now
        self.published: list[tuple[str, NewJob]] = []
        self.virtual = dict.fromkeys(QUEUES, 0.0)
        self.world.beat()

    @property
    def now(self) -> int:
        return self.world.now

    # Jobs

    def leased(self, holder: str = "", resource: str = "") -> list[ModelJob]:
        return [
            job
            for job in self.model.live.values()
            if job.token and job.holder.startswith(holder) and job.job.resource.startswith(resource)
        ]

    def pick(self, jobs: list[ModelJob], number: int) -> ModelJob:
        return jobs[number % len(jobs)]

    def any_task(self, number: int) -> str:
        """Mostly a task that lives; otherwise one that is dead or was published at some time."""
        tasks = list(self.model.live)
        if not tasks or number % 8 == 0:
            tasks += [*self.model.dead, *dict.fromkeys(job.task_id for _, job in self.published)]
        return tasks[number % len(tasks)] if tasks else "nobody"

    def enqueue(self, queue: str, job: NewJob) -> object:
        """The engine answers what the model says."""
        try:
            expected: object = self.model.enqueue(queue, job, self.now)
        except UnknownParent as error:
            expected = error.task_id
        try:
            [answer] = self.store.enqueue(queue, [job], now_ms=self.now)
        except UnknownParent as error:
            answer = error.task_id
        assert answer == expected
        return answer

    # Leases

    def claim(self, holder: str, free: int, ahead: int, queues: tuple[str, ...]) -> Claim:
        claim = self.world.claim(free, holder, queues, ahead)
        assert len(claim.jobs) <= free + ahead
        assert not any(job.limited for job in claim.jobs[free:])
        for job in claim.jobs:
            known = self.model.live.get(job.task_id)
            assert known is not None, "a job that has ended was handed out"
            assert (known.queue, known.job.tag, known.job.org) == (job.queue, job.tag, job.org)
            assert known.is_waiting, f"handed out though it is {known.states(self.now)}"
            assert known.due_ms <= self.now or known.was_due, "handed out before its time"
            assert job.claimed_ms == self.now
            known.token, known.holder, known.loose = job.token, holder, False
            known.deliveries += 1
            assert job.deliveries == known.deliveries
            for gate in gates_of(known.queue, known.job):
                self.gates.claim(gate, job.token, self.in_flight(gate))
        if len(claim.jobs) < free and not claim.more:
            kept = [job.job.task_id for job in self.model.live.values() if self.must_run(job, queues)]
            assert not kept, f"kept waiting though all gates are open: {kept}"
        return claim

    def in_flight(self, gate: Gate) -> int:
        jobs = sum(gate in gates_of(job.queue, job.job) for job in self.leased())
        return jobs + len(self.slots) if gate == MAIL else jobs

    def must_run(self, job: ModelJob, queues: tuple[str, ...]) -> bool:
        """Whether a worker of these queues that has a slot may not be told that there is nothing to do."""
        if self.gates.late_ms or job.queue not in queues or not job.is_waiting or job.loose or job.doomed:
            return False
        return job.due_ms <= self.now and all(
            self.gates.must_be_open(gate, self.in_flight(gate)) for gate in gates_of(job.queue, job.job)
        )

    def settle_one(self, known: ModelJob, outcome: Any, run_ms: float = 100, *, failed: bool = False) -> None:
        [word] = self.store.settle([settlement(known.token, outcome, run_ms, failed)], now_ms=self.now)
        assert word == "settled"
        self.lease_ended(known, "bad" if failed else "good" if outcome == "succeeded" else "")
        self.model.end(known.job.task_id, outcome, self.now)

    def lease_ended(self, known: ModelJob, verdict: Verdict = "") -> None:
        """Whatever ended it; what the run says of the resource is known to its breaker."""
        if known.job.resource:
            self.mail.end(known.token, verdict, self.now, self.gates.elapsed_ms)
            self.breaker_does_what_it_should()

    def slot_ended(self, slot: str, verdict: Verdict) -> None:
        del self.slots[slot]
        self.mail.end(slot, verdict, self.now, self.gates.elapsed_ms)

    # The resource

    @property
    def mail(self) -> ModelBreaker:
        return self.gates.breakers[MAIL]

    def look_at_mail(self) -> ResourceSnapshot:
        return self.store.resource_snapshot("mail", now_ms=self.now)

    def breaker_does_what_it_should(self) -> None:
        self.mail.compare(self.look_at_mail(), self.now, self.gates.elapsed_ms)

    # Time

    def pass_time(self, ms: int) -> None:
        """The clock moves on, or steps back, while the workers beat and renew."""
        while ms:
            step = max(-BEAT_MS, min(BEAT_MS, ms))
            self.tick(step)
            ms -= step
            assert self.beat() == 0, "leases that are renewed in time were reaped"
            for holder in HOLDERS:
                assert self.world.renew(holder, {job.token: 0 for job in self.leased(holder)}) == []

    def beat(self) -> int:
        reaped = self.world.beat()
        for slot, (until_ms, hold_ms) in list(self.slots.items()):
            if self.beaten_ms > self.now + NOTICED_MS:  # the clock stepped back, and holds it for no longer
                until_ms = min(until_ms, self.now + hold_ms)
                self.slots[slot] = (until_ms, hold_ms)
            if until_ms <= self.now:
                self.slot_ended(slot, "")
        self.beaten_ms = self.now
        return reaped

    def tick(self, ms: int) -> None:
        for job in self.model.live.values():
            job.was_due = job.was_due or 0 < job.due_ms <= self.now
        self.world.clock.now_ms += ms
        self.gates.pass_time(ms)


def settlement(token: str, outcome: Any, run_ms: float, failed: bool = False) -> Settlement:
    return Settlement(token, outcome, run_ms, {"reason": "failed"}, counts_as_failure=failed)
