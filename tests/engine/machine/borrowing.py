"""What code does that is no job: it takes a place at the resource beside the jobs, and gives it back."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.engine.machine.base import MAIL, PICK, Base
from tests.engine.model_breaker import Verdict


class Borrowing(Base):
    """Rules of code that shares a resource with jobs."""

    @rule(hold_ms=st.sampled_from((300, 5000, 60_000)))
    def acquire(self, hold_ms: int) -> None:
        must = self.gates.must_be_open(MAIL, self.in_flight(MAIL))
        answer = self.store.acquire_resource("mail", hold_ms=hold_ms, now_ms=self.now)
        assert not (answer.gate and must), f"refused by {answer.gate} though all gates are open"
        assert (answer.wait_ms > 0) == bool(answer.gate)
        if answer.slot:
            self.slots[answer.slot] = (self.now + hold_ms, hold_ms)
            self.gates.claim(MAIL, answer.slot, self.in_flight(MAIL))
        elif not answer.gate:
            assert self.look_at_mail().limits is None, "a place at a resource with limits was not counted"

    @precondition(lambda self: self.slots)
    @rule(number=PICK, verdict=st.sampled_from(("good", "bad", "bad", "")))
    def give_back(self, number: int, verdict: Verdict) -> None:
        slot = list(self.slots)[number % len(self.slots)]
        assert self.store.give_slot(slot, verdict, now_ms=self.now)
        assert not self.store.give_slot(slot, verdict, now_ms=self.now), "given back twice"
        self.slot_ended(slot, verdict)
