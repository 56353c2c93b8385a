"""What operators do to gates: pause, resume, and give caps, weights and rates."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import rule

from queueops.engine.rules.gates import Limits, ResourceLimits
from tests.engine.machine.base import GATES, HOLDERS, MAIL, ORGS, QUEUES, Base
from tests.engine.model_gates import UNCAPPED, Gate
from tests.engine.world import QUEUE

#: One org's cap more often than the others: it takes two of its jobs to show.
CAPPED = [*(gate for gate in GATES if gate[0] != "task"), *[("org", QUEUE, ORGS[0])] * 4]
RATED = [*(gate for gate in GATES if gate[0] == "org"), ("org", QUEUE, ORGS[0]), MAIL, MAIL]
#: Jobs a minute and burst: one in ten seconds up to twenty a second.
RATES = ((6, 2), (60, 1), (60, 3), (600, 2), (1200, 9))


class Operating(Base):
    """Rules of limits."""

    def __init__(self) -> None:
        super().__init__()
        self.limits: dict[Gate, Limits] = {}
        self.of_mail = ResourceLimits()

    @rule(gate=st.sampled_from(GATES), until=st.sampled_from((0, 300, 300)), closed=st.booleans())
    def pause_or_resume(self, gate: Gate, until: int, closed: bool) -> None:
        if closed:
            kind, queue, name = gate
            until_ms = until and self.now + until
            self.store.pause(queue, until_ms=until_ms, now_ms=self.now, **({kind: name} if name else {}))
            self.gates.paused[gate] = until_ms
        else:
            self.resume(gate)

    def resume(self, gate: Gate) -> None:
        kind, queue, name = gate
        self.store.resume(queue, now_ms=self.now, **({kind: name} if name else {}))
        self.gates.paused.pop(gate, None)

    @rule(
        gate=st.sampled_from(CAPPED),
        cap=st.sampled_from((1, 2, None, 0)),
        weight=st.sampled_from((0.1, 1, 7)),
    )
    def limit(self, gate: Gate, cap: int | None, weight: float) -> None:
        if gate[0] == "org":
            self.set_org(gate, replace(self.limits.get(gate, Limits()), weight=weight, max_in_flight=cap))
        elif gate == MAIL:
            self.set_mail(replace(self.of_mail, max_in_flight=cap))
        else:
            self.store.set_queue(gate[1], concurrency=cap, now_ms=self.now)
        self.gates.caps[gate] = UNCAPPED if cap is None else cap

    @rule(gate=st.sampled_from(RATED), rate=st.sampled_from((*RATES, *RATES, (None, None))))
    def rate(self, gate: Gate, rate: tuple[int | None, int | None]) -> None:
        self.set_rate(gate, *rate)

    @rule(gate=st.sampled_from(RATED), early=st.sampled_from((0, 0, 1)), free=st.integers(1, 3))
    def claim_in_time(self, gate: Gate, early: int, free: int) -> None:
        """When its rate has the next job, or a ms before."""
        wait_ms = math.ceil(self.gates.rates[gate].wait_ms(self.gates.elapsed_ms))
        self.pass_time(max(0, wait_ms - early))
        self.claim(HOLDERS[0], free, 0, QUEUES)

    def set_rate(self, gate: Gate, rpm: int | None, burst: int | None) -> None:
        if gate == MAIL:
            self.set_mail(replace(self.of_mail, per_minute=rpm, burst=burst))
        else:
            self.set_org(gate, replace(self.limits.get(gate, Limits()), rpm=rpm, burst=burst))
        self.gates.rates[gate].change(rpm, burst or 0)

    def set_org(self, gate: Gate, limits: Limits) -> None:
        _, queue, org = gate
        self.limits[gate] = limits
        self.store.set_limits(queue, {org: limits}, now_ms=self.now)

    def set_mail(self, limits: ResourceLimits) -> None:
        self.of_mail = limits
        self.store.set_resources({"mail": limits}, now_ms=self.now)
