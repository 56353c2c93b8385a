"""What workers do: claim, settle, give back, renew, go and crash; and what the clock does meanwhile."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.engine.machine.base import HOLDERS, PICK, QUEUES, Base

LEASE_S = 30


class Working(Base):
    """Rules of workers and of the clock."""

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

    @precondition(lambda self: self.leased())
    @rule(
        number=PICK,
        outcome=st.sampled_from(("succeeded", "succeeded", "dead", "cancelled")),
        run_ms=st.sampled_from((0, 3.25, 100, 4000.125)),
        failed=st.booleans(),
    )
    def settle(self, number: int, outcome: Any, run_ms: float, failed: bool) -> None:
        self.settle_one(
            self.pick(self.leased(), number), outcome, run_ms, failed=failed and outcome == "dead"
        )

    @precondition(lambda self: self.leased())
    @rule(number=PICK, lost=st.booleans(), delay=st.sampled_from((0, 0, 700)))
    def release(self, number: int, lost: bool, delay: int) -> None:
        known = self.pick(self.leased(), number)
        token = known.token
        [word] = self.store.release([token], delay_ms=delay, lost=lost, now_ms=self.now)
        self.lease_ended(known)
        expected = self.model.give_back(
            known.job.task_id, self.now, lost=lost, due_ms=delay and self.now + delay
        )
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
            if job.job.resource:
                self.mail.end(job.token, "", self.now, self.gates.elapsed_ms)
            self.model.give_back(job.job.task_id, self.now, lost=crashed)

    def crash(self, holder: str, most: int) -> None:
        """The process is gone; the other one renews. Its leases lapse, and the deliveries count."""
        for _ in range(LEASE_S + 5):
            self.tick(1000)
            for other in HOLDERS:
                if other != holder:
                    self.world.renew(other, {job.token: 0 for job in self.leased(other)})
            assert self.beat() <= most

    @rule(ms=st.sampled_from((1, 50, 400, 3000, 20_000, 200_000, -10, -3000, -40_000)))
    def time_passes(self, ms: int) -> None:
        self.pass_time(ms)
