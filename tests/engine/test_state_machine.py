"""Hypothesis drives the store with whatever can happen to jobs, against a small model (``model.py``).

After each step: no job is lost and none is there that should not be, each is where the model has it, none is
leased twice, no cap is exceeded, the queue's time never falls, and all keys agree. At the end everything is
opened: each org is served within a bounded number of claims, and nothing is left behind.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from queueops.engine.rules.envelope import NewJob
from queueops.engine.rules.gates import Limits, ResourceLimits
from queueops.engine.types import Settlement
from queueops.errors import UnknownParent
from tests.engine.invariants import check, healthy
from tests.engine.model import Model, ModelJob
from tests.engine.test_leaks import left_over
from tests.engine.world import QUEUE, World
from tests.support.valkey import Valkey

ORGS = ("a", "b")
TASKS = ("tasks.work", "tasks.other")
QUEUES = (QUEUE, "bulk")
HOLDERS = ("w1", "w2")
LEASE_S = 30
UNCAPPED = 10**9
#: Run time that the last claims are charged.
LAST_RUN_MS = 100

PICK = st.integers(0, 1_000)
GATES = [
    *(("queue", queue, "") for queue in QUEUES),
    *(("org", queue, org) for queue in QUEUES for org in ORGS),
    *(("task", queue, task) for queue in QUEUES for task in TASKS),
    ("resource", "", "mail"),
]
_numbers = itertools.count(1)


#: One org's cap more often than the others: it takes two of its jobs to show.
CAPPED = [*(gate for gate in GATES if gate[0] != "task"), *[("org", QUEUE, ORGS[0])] * 4]
#: What can be closed or has a cap: its kind, its queue ("" for a resource), its name.
Gate = tuple[str, str, str]


def gates_of(queue: str, job: NewJob) -> list[Gate]:
    """What a claim of this job goes through."""
    return [
        ("queue", queue, ""),
        ("org", queue, job.org),
        ("task", queue, job.task),
        ("resource", "", job.resource),
    ]


class Machine(RuleBasedStateMachine):
    """Jobs of two orgs in two queues, two worker processes, one clock."""

    port: ClassVar[int]

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.port, f"machine{next(_numbers)}:")
        self.store = self.world.store
        self.model = Model()
        self.published: list[tuple[str, NewJob]] = []
        self.paused: dict[Gate, int] = {}
        self.caps: dict[Gate, int] = {}
        self.virtual = dict.fromkeys(QUEUES, 0.0)
        self.world.beat()

    # Help

    @property
    def now(self) -> int:
        return self.world.now

    def leased(self, holder: str = "") -> list[ModelJob]:
        return [job for job in self.model.live.values() if job.token and job.holder.startswith(holder)]

    def pick(self, jobs: list[ModelJob], number: int) -> ModelJob:
        return jobs[number % len(jobs)]

    def any_task(self, number: int) -> str:
        """Mostly a task that lives; otherwise one that is dead or was published at some time."""
        tasks = list(self.model.live)
        if not tasks or number % 8 == 0:
            tasks += [*self.model.dead, *dict.fromkeys(job.task_id for _, job in self.published)]
        return tasks[number % len(tasks)] if tasks else "nobody"

    def enqueue(self, queue: str, job: NewJob) -> None:
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

    # Publishing

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
    @rule(number=PICK, queue=st.sampled_from(QUEUES), due=st.sampled_from((0, 1000)), stale=st.booleans())
    def retry(self, number: int, queue: str, due: int, stale: bool) -> None:
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
        )
        self.enqueue(queue, job)
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

    # Workers

    @rule(
        holder=st.sampled_from(HOLDERS),
        free=st.integers(0, 5),
        ahead=st.sampled_from((0, 0, 3)),
        queues=st.sampled_from((QUEUES, QUEUES[::-1], QUEUES[:1], QUEUES[1:])),
    )
    def claim_some(self, holder: str, free: int, ahead: int, queues: tuple[str, ...]) -> None:
        self.claim(holder, free, ahead, queues)

    @rule(holder=st.sampled_from(HOLDERS), number=st.sampled_from((2, 4)))
    def claim_more(self, holder: str, number: int) -> None:
        self.claim(holder, number, 0, QUEUES)

    @rule(holder=st.sampled_from(HOLDERS), again=st.booleans())
    def claim_late(self, holder: str, again: bool) -> None:
        """When pauses and short waits are over."""
        self.pass_time(3000)
        self.claim(holder, 4, 0, QUEUES)
        if again:
            self.claim(holder, 4, 0, QUEUES[::-1])

    def claim(self, holder: str, free: int, ahead: int, queues: tuple[str, ...]) -> None:
        claim = self.world.claim(free, holder, queues, ahead)
        assert len(claim.jobs) <= free + ahead
        assert not any(job.limited for job in claim.jobs[free:])
        for job in claim.jobs:
            known = self.model.live.get(job.task_id)
            assert known is not None, "a job that has ended was handed out"
            assert (known.queue, known.job.tag, known.job.org) == (job.queue, job.tag, job.org)
            assert known.is_waiting, f"handed out though it is {known.states(self.now)}"
            assert known.due_ms <= self.now or known.was_due, "handed out before its time"
            known.token, known.holder, known.loose = job.token, holder, False
            known.deliveries += 1
            assert job.deliveries == known.deliveries
            for gate in gates_of(known.queue, known.job):
                assert not self.is_paused(gate), f"handed out though {gate} is closed"
                assert self.in_flight(gate) <= self.caps.get(gate, UNCAPPED), (
                    f"the cap of {gate} was exceeded"
                )

    def in_flight(self, gate: Gate) -> int:
        return sum(gate in gates_of(job.queue, job.job) for job in self.leased())

    def is_paused(self, gate: Gate) -> bool:
        until_ms = self.paused.get(gate)
        return until_ms is not None and (until_ms == 0 or until_ms > self.now)

    @precondition(lambda self: self.leased())
    @rule(
        number=PICK,
        outcome=st.sampled_from(("succeeded", "succeeded", "dead", "cancelled")),
        run_ms=st.sampled_from((0, 3.25, 100, 4000.125)),
    )
    def settle(self, number: int, outcome: Any, run_ms: float) -> None:
        known = self.pick(self.leased(), number)
        [word] = self.store.settle([self.settlement(known.token, outcome, run_ms)], now_ms=self.now)
        assert word == "settled"
        self.model.end(known.job.task_id, outcome, self.now)

    @staticmethod
    def settlement(token: str, outcome: Any, run_ms: float) -> Settlement:
        return Settlement(token, outcome, run_ms, {"reason": "failed"})

    @precondition(lambda self: self.leased())
    @rule(number=PICK, lost=st.booleans(), delay=st.sampled_from((0, 0, 700)))
    def release(self, number: int, lost: bool, delay: int) -> None:
        known = self.pick(self.leased(), number)
        token = known.token
        expected = self.model.give_back(
            known.job.task_id, self.now, lost=lost, due_ms=delay and self.now + delay
        )
        [word] = self.store.release([token], delay_ms=delay, lost=lost, now_ms=self.now)
        assert word == expected

    @rule(holder=st.sampled_from(HOLDERS), ran=st.sampled_from((0, 50, 20_000)))
    def renew(self, holder: str, ran: int) -> None:
        mine = self.leased(holder)
        renewal = self.world.renewal(holder, {job.token: ran for job in mine})
        assert renewal.lost == []
        assert set(renewal.cancelled) == {job.token for job in mine if job.cancelled and job.stopped}
        assert set(renewal.spared) == {job.token for job in mine if job.cancelled and not job.stopped}

    @rule(holder=st.sampled_from(HOLDERS), crashed=st.booleans())
    def go(self, holder: str, crashed: bool) -> None:
        mine = self.leased(holder)
        if crashed:
            self.crash(holder, len(mine))
        else:
            assert self.store.leave(holder, now_ms=self.now) == len(mine)
        for job in mine:
            self.model.give_back(job.job.task_id, self.now, lost=crashed)

    def crash(self, holder: str, most: int) -> None:
        """The process is gone; the other one renews. Its leases lapse, and the deliveries count."""
        for _ in range(LEASE_S + 5):
            self.world.clock.advance(seconds=1)
            for other in HOLDERS:
                if other != holder:
                    self.world.renew(other, {job.token: 0 for job in self.leased(other)})
            assert self.world.beat() <= most

    # Operators

    @rule(number=PICK, stop=st.booleans())
    def cancel(self, number: int, stop: bool) -> None:
        task_id = self.any_task(number)
        word = self.store.cancel(task_id, now_ms=self.now, stop=stop)
        assert word == self.model.cancel(task_id, self.now, stop)

    @precondition(lambda self: self.leased())
    @rule(number=PICK, stop=st.booleans())
    def cancel_leased(self, number: int, stop: bool) -> None:
        task_id = self.pick(self.leased(), number).job.task_id
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

    @rule(gate=st.sampled_from(GATES), until=st.sampled_from((0, 300, 300)), closed=st.booleans())
    def pause_or_resume(self, gate: Gate, until: int, closed: bool) -> None:
        if closed:
            kind, queue, name = gate
            until_ms = until and self.now + until
            self.store.pause(queue, until_ms=until_ms, now_ms=self.now, **({kind: name} if name else {}))
            self.paused[gate] = until_ms
        else:
            self.resume(gate)

    def resume(self, gate: Gate) -> None:
        kind, queue, name = gate
        self.store.resume(queue, now_ms=self.now, **({kind: name} if name else {}))
        self.paused.pop(gate, None)

    @rule(
        gate=st.sampled_from(CAPPED),
        cap=st.sampled_from((1, 2, None, 0)),
        weight=st.sampled_from((0.1, 1, 7)),
    )
    def limit(self, gate: Gate, cap: int | None, weight: float) -> None:
        kind, queue, name = gate
        if kind == "org":
            limits = Limits(weight=weight, max_in_flight=cap)
            self.store.set_limits(queue, {name: limits}, now_ms=self.now)
        elif kind == "queue":
            self.store.set_queue(queue, concurrency=cap, now_ms=self.now)
        else:
            self.store.set_resources({name: ResourceLimits(max_in_flight=cap)}, now_ms=self.now)
        self.cap(gate, cap)

    def cap(self, gate: Gate, cap: int | None) -> None:
        # Where a cap was lowered there may still be more in flight.
        self.caps[gate] = UNCAPPED if cap is None else max(cap, self.in_flight(gate))

    @rule(queue=st.sampled_from(QUEUES))
    def purge(self, queue: str) -> None:
        number = self.store.purge(queue, now_ms=self.now)
        waiting = [job for job in self.model.live.values() if job.queue == queue and not job.token]
        gone = [job for job in waiting if job.doomed]
        assert len(waiting) - len(gone) <= number <= len(waiting)
        for job in waiting:
            self.model.end(job.job.task_id, "cancelled", self.now)

    # Time

    @rule(ms=st.sampled_from((1, 50, 400, 3000, 20_000, 200_000, -10, -3000, -40_000)))
    def pass_time(self, ms: int) -> None:
        for job in self.model.live.values():
            job.was_due = job.was_due or 0 < job.due_ms <= self.now
        while abs(ms) > 20_000:
            step = 20_000 if ms > 0 else -20_000
            self.world.clock.now_ms += step
            ms -= step
            self.beat_and_renew()
        self.world.clock.now_ms += ms
        self.beat_and_renew()

    def beat_and_renew(self) -> None:
        assert self.world.beat() == 0, "leases that are renewed in time were reaped"
        for holder in HOLDERS:
            assert self.world.renew(holder, {job.token: 0 for job in self.leased(holder)}) == []

    # What holds after each step

    @invariant()
    def all_jobs_are_where_they_should_be(self) -> None:
        keys = self.world.keyspace()
        found = places(keys)
        for task_id, job in list(self.model.live.items()):
            state = found.pop(task_id, None)
            if state is None and job.doomed:
                self.model.end(task_id, "cancelled", self.now)
                continue
            assert state is not None, f"{task_id} was lost"
            assert state in job.states(self.now), f"{task_id} is {state}"
            if state != "blocked":
                job.loose = False
        assert not found, f"jobs that should be gone: {found}"
        dead = set(keys.get("qo1:graves", {}))
        assert dead == set(self.model.dead), "graves"

    @invariant()
    def all_keys_agree(self) -> None:
        check(self.world)

    @invariant()
    def time_never_falls(self) -> None:
        for queue in QUEUES:
            virtual = self.world.queue(queue).virtual_time_ms
            assert virtual >= self.virtual[queue], "the queue's time ran back"
            self.virtual[queue] = virtual

    # The end

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:  # a step that failed is told by itself
                healthy(self.world, parents_may_be_gone=True)
                self.open_everything()
                self.run_everything()
                self.nothing_is_left()
        finally:
            self.world.clear()
            self.world.client.close()

    def open_everything(self) -> None:
        for queue in QUEUES:
            self.store.set_limits(queue, dict.fromkeys(ORGS), now_ms=self.now)
            self.store.set_queue(queue, now_ms=self.now)
        self.store.set_resources({"mail": None}, now_ms=self.now)
        for gate in list(self.paused):
            self.resume(gate)
        self.caps.clear()
        self.paused.clear()
        for job in self.leased():
            self.store.settle([self.settlement(job.token, "succeeded", 10)], now_ms=self.now)
            self.model.end(job.job.task_id, "succeeded", self.now)
        for task_id, job in list(self.model.live.items()):
            if job.held:
                assert self.store.release_job(task_id, now_ms=self.now) == "released"
                job.held = False
        self.pass_time(60_000)
        while any(job.due_ms > self.now for job in self.model.live.values()):
            self.pass_time(20_000)  # the clock has stepped back since somebody said when

    def run_everything(self) -> None:
        """One slot, everything is due: whoever has a job is served before the others have had much more."""
        for queue in QUEUES:
            ahead = {org: self.world.org(org, queue) for org in ORGS}
            bounds = {}
            for org, picture in ahead.items():
                # An org that waited through another one's long run is owed as much, and served first.
                others = [self.world.queue(queue), *(one for of, one in ahead.items() if of != org)]
                lead = max(0.0, *(picture.virtual_time_ms - one.virtual_time_ms for one in others))
                bounds[org] = len(ORGS) * (lead / LAST_RUN_MS + 4)
            wanting = {
                job.job.org for job in self.model.live.values() if job.queue == queue and job.is_waiting
            }
            claims = 0
            while True:
                jobs = self.world.take(1, queues=(queue,))
                if not jobs:
                    break
                [job] = jobs
                claims += 1
                wanting.discard(job.org)
                assert all(claims <= bounds[org] for org in wanting), "an org starves"
                self.store.settle([self.settlement(job.token, "succeeded", LAST_RUN_MS)], now_ms=self.now)
                assert self.model.live[job.task_id].is_waiting
                self.model.end(job.task_id, "succeeded", self.now)
                self.all_jobs_are_where_they_should_be()

    def nothing_is_left(self) -> None:
        """What still waits waits for a job that is dead or was cancelled; without it the broker is empty."""
        for _ in range(5):
            for queue in QUEUES:
                for job in self.world.take(50, queues=(queue,)):
                    self.store.settle([self.settlement(job.token, "succeeded", 1)], now_ms=self.now)
                    self.model.end(job.task_id, "succeeded", self.now)
        self.all_jobs_are_where_they_should_be()
        for task_id, job in list(self.model.live.items()):
            assert job.waits, f"{task_id} never ran"
            if task_id in self.model.live:
                self.store.cancel(task_id, now_ms=self.now)
                self.model.end(task_id, "cancelled", self.now)
        for queue in QUEUES:
            self.world.take(1, queues=(queue,))
        self.store.unbury(list(self.model.dead), now_ms=self.now)
        for holder in HOLDERS:
            self.store.leave(holder, now_ms=self.now)
        check(self.world)
        left = left_over(self.world)
        kept = {f"qo1:kept:{task_id}" for task_id in self.model.kept}
        unique = {f"qo1:unique:{digest}" for digest in self.model.uniques}
        leaked = left - kept - unique
        assert not leaked, f"keys leak: {leaked}"


def places(keys: dict[str, Any]) -> dict[str, str]:
    """Where each task of the index is."""
    where: dict[tuple[str, str], str] = {}
    for key, value in keys.items():
        family, _, rest = key.removeprefix("qo1:").partition(":")
        queue = rest.split(":")[0]
        if family in ("lane", "aside"):
            where.update({(queue, tag): "ready" for tag in value})
        elif family in ("scheduled", "blocked"):
            where.update({(queue, tag): family for tag in value})
        elif family == "held":
            for record in value.values():
                at, tag = record.split("\t")[:2]
                where[at, tag] = "leased"
    found = {}
    for task_id, entry in keys.get("qo1:ids", {}).items():
        queue, tag = entry.split("\t")[:2]
        found[task_id] = where.get((queue, tag), "nowhere")
    return found


def drive(port: int, examples: int, steps: int, **more: Any) -> None:
    bound = type("Machine", (Machine,), {"port": port})
    run_state_machine_as_test(
        bound,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            **more,
        ),
    )


def test_whatever_happens_the_engine_does_what_the_model_says(shared_valkey: Valkey) -> None:
    drive(shared_valkey.port, 25, 50, derandomize=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_whatever_happens_for_long_the_engine_does_what_the_model_says(shared_valkey: Valkey) -> None:
    drive(shared_valkey.port, 400, 60, phases=(Phase.generate, Phase.shrink))
