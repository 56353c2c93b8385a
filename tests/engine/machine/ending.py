"""The end: what is closed opens, by hand or in its time; what can run does, and nothing is left behind."""

from __future__ import annotations

import sys
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import initialize

from tests.engine.invariants import check, healthy
from tests.engine.machine.always import Always
from tests.engine.machine.base import BEAT_MS, HOLDERS, ORGS, QUEUES, settlement
from tests.engine.machine.breaking import Breaking
from tests.engine.test_leaks import EXPIRE, left_over

#: Run time that the last claims are charged.
LAST_RUN_MS = 100


class Ending(Breaking, Always):
    """How a life ends."""

    patient = False

    @initialize(patient=st.booleans())
    def wait_at_the_end(self, patient: bool) -> None:
        self.patient = patient

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:  # a step that failed is told by itself
                healthy(self.world, parents_may_be_gone=True)
                self.take_back()
                if self.patient:
                    self.wait_for_everything()
                self.open_everything()
                self.run_everything()
                self.nothing_is_left()
        finally:
            self.world.clear()
            self.world.client.close()

    def take_back(self) -> None:
        """What people have closed without an end. What ends by itself, rates and breakers stay."""
        for queue in QUEUES:
            self.store.set_queue(queue, now_ms=self.now)
        for gate, limits in self.limits.items():
            self.set_org(gate, replace(limits, max_in_flight=None))
        self.set_mail(replace(self.of_mail, max_in_flight=None))
        self.gates.caps.clear()
        for gate in [gate for gate, until_ms in self.gates.paused.items() if not until_ms]:
            self.resume(gate)
        if self.mail.state == "open" and not self.mail.until_ms:
            self.calm()
        for slot in list(self.slots):
            assert self.store.give_slot(slot, "good", now_ms=self.now)
            self.slot_ended(slot, "good")
        for job in self.leased():
            self.settle_one(job, "succeeded", 10)
        for task_id, job in list(self.model.live.items()):
            if job.held:
                assert self.store.release_job(task_id, now_ms=self.now) == "released"
                job.held = False
        while any(job.due_ms > self.now for job in self.model.live.values()):
            self.pass_time(BEAT_MS)  # the clock has stepped back since somebody said when

    def wait_for_everything(self) -> None:
        """Rates have their time and the breaker its probes: all that waits for nothing else runs."""
        rounds = len(self.model.live) + 10  # in each the slowest rate has at least one more
        opens_ms = max(0, self.mail.until_ms - self.now) if self.mail.state == "open" else 0
        for _ in range(rounds + opens_ms // BEAT_MS):
            while self.claim(HOLDERS[0], 50, 0, QUEUES).more:
                pass
            for job in self.leased():
                self.settle_one(job, "succeeded", 10)
            self.all_jobs_are_where_they_should_be()
            if not any(job.is_waiting for job in self.model.live.values()):
                break
            self.pass_time(BEAT_MS)
        left = [task_id for task_id, job in self.model.live.items() if job.is_waiting]
        assert not left, f"waited in vain: {left}"

    def open_everything(self) -> None:
        for queue in QUEUES:
            self.store.set_limits(queue, dict.fromkeys(ORGS), now_ms=self.now)
        self.store.set_resources({"mail": None}, now_ms=self.now)
        self.mail.change(None)
        for rate in self.gates.rates.values():
            rate.change(None, 0)
        if self.mail.state != "closed":
            self.calm()
        self.pass_time(60_000)
        for gate in [gate for gate in self.gates.paused if self.gates.is_paused(gate)]:
            self.resume(gate)

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
                self.store.settle([settlement(job.token, "succeeded", LAST_RUN_MS)], now_ms=self.now)
                assert self.model.live[job.task_id].is_waiting
                self.model.end(job.task_id, "succeeded", self.now)
                self.all_jobs_are_where_they_should_be()

    def nothing_is_left(self) -> None:
        """What still waits waits for a job that is dead or was cancelled; without it the broker is empty."""
        for _ in range(5):
            for queue in QUEUES:
                for job in self.world.take(50, queues=(queue,)):
                    self.store.settle([settlement(job.token, "succeeded", 1)], now_ms=self.now)
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
        for key in self.world.keyspace():
            if key.startswith(EXPIRE):
                assert self.world.client.pttl(self.store.prefix + key) > 0, f"{key} stays for ever"
