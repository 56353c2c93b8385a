"""What a resource that fails does to its breaker, and what operators do to it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from queueops.engine.rules.gates import Breaker
from tests.engine.machine.base import HOLDERS, ORGS, QUEUES
from tests.engine.machine.operating import RATED, RATES, Operating
from tests.engine.model_gates import Gate
from tests.engine.world import QUEUE

#: Their window is one: what another one would have counted of the past is nobody's promise.
POLICIES = (
    None,
    Breaker(0.5, 2, window_seconds=10, open_seconds=1, longest_open_seconds=4, probes=1),
    Breaker(0.5, 3, window_seconds=10, open_seconds=5, longest_open_seconds=20, probes=2),
    Breaker(1.0, 2, window_seconds=10, open_seconds=0.4, longest_open_seconds=50, probes=3),
)
#: How calls end, one after the other.
CALLS = st.sampled_from(
    [
        ("bad",) * 4,
        ("good", "bad", "bad", "bad"),
        ("bad",),
        ("good",) * 3,
        ("good", "bad"),
        ("lost", "bad"),
        ("good", "lost", "good", "good"),
    ]
)
POLICY = st.sampled_from((*POLICIES, *POLICIES[1:]))


class Breaking(Operating):
    """Rules of a breaker."""

    @initialize(rated=st.sampled_from((*RATED, None)), rate=st.sampled_from(RATES), policy=POLICY)
    def begin_with_limits(self, rated: Gate | None, rate: tuple[int, int], policy: Breaker | None) -> None:
        if rated:
            self.set_rate(rated, *rate)
        self.protect_by(policy)

    @rule(policy=POLICY)
    def protect(self, policy: Breaker | None) -> None:
        """Another policy, or none: how it is outlives that, and what it knows."""
        self.protect_by(policy)

    def protect_by(self, policy: Breaker | None) -> None:
        self.set_mail(replace(self.of_mail, breaker=policy))
        self.mail.change(policy)

    @rule(until=st.sampled_from((0, 300, 20_000)), closed=st.booleans())
    def panic_or_calm(self, until: int, closed: bool) -> None:
        if closed:
            until_ms = until and self.now + until
            self.store.panic("mail", until_ms=until_ms, now_ms=self.now)
            self.mail.open(until_ms, self.gates.elapsed_ms)
        else:
            self.calm()

    def calm(self) -> None:
        was_closed = self.mail.state == "closed"
        assert self.store.panic_off("mail", now_ms=self.now) != was_closed
        if not was_closed:
            self.mail.close()

    @rule(
        early=st.sampled_from((None, 0, 0, 0, 1)),
        orgs=st.lists(st.sampled_from(ORGS), max_size=6),
        free=st.integers(1, 5),
        calls=CALLS,
    )
    def call(self, early: int | None, orgs: list[str], free: int, calls: tuple[str, ...]) -> None:
        """Jobs call it, as long as some may: now, at the very time it opens, or a ms before."""
        if early is not None and self.mail.state == "open" and self.mail.until_ms > self.now:
            self.pass_time(self.mail.until_ms - self.now - early)
        for org in orgs:
            job = self.world.job(org, resource="mail")
            self.enqueue(QUEUE, job)
            self.published.append((QUEUE, job))
        self.claim(HOLDERS[1], free, 0, QUEUES)
        self.end_calls(calls)

    def end_calls(self, calls: tuple[str, ...]) -> None:
        for verdict in calls:
            self.claim(HOLDERS[0], 1, 0, QUEUES)
            calling = self.leased(resource="mail")
            if not calling:
                break
            if verdict == "lost":
                [word] = self.store.release([calling[0].token], now_ms=self.now)
                self.lease_ended(calling[0])
                assert word == self.model.give_back(calling[0].job.task_id, self.now, lost=False)
            else:
                bad = verdict == "bad"
                self.settle_one(calling[0], "dead" if bad else "succeeded", failed=bad)
