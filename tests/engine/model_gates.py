"""What pauses, caps, rates and a breaker promise, in plain Python: what no claim may pass, and what each may.

Rates are held to their definition, not to the way they are kept: the claims of every window are counted. Time
is counted as it passes; a clock that steps back takes none of it away.
"""

from __future__ import annotations

from collections import defaultdict

from tests.engine.model_breaker import ModelBreaker

#: What can be closed or has limits: its kind, its queue ("" for a resource), its name.
Gate = tuple[str, str, str]
UNCAPPED = 10**9
#: A clock that stepped back further than this is noticed, and every closing is looked at again.
NOTICED_MS = 1000
#: The longest closing there is here; after it none from before a step back is left.
LONGEST_CLOSING_MS = 1_000_000


class Rate:
    """Claims under one rate: never more than ``burst + rate x t`` in any window of ``t``."""

    def __init__(self) -> None:
        self.interval_ms = 0.0
        self.burst = 0
        self.claims: list[int] = []  # under this rate and burst, in time that has passed
        self.paid_ms = 0.0  # when, by the clock, whatever was claimed has been made up for
        self.is_certain = True

    def change(self, per_minute: float | None, burst: int) -> None:
        """Another rate, or another burst; windows begin anew, and what was used up may count as used up."""
        interval_ms = 60_000 / per_minute if per_minute else 0.0
        if (interval_ms, burst) != (self.interval_ms, self.burst):
            self.interval_ms, self.burst = interval_ms, burst
            self.claims, self.is_certain = [], False

    def doubt(self) -> None:
        """The clock stepped back: that may cost the burst."""
        self.is_certain = False

    def wait_ms(self, elapsed_ms: int) -> float:
        """How long it takes until one more job exceeds no window; 0 or less: it may be claimed now."""
        number = len(self.claims) + 1
        return max(
            (
                (number - at - self.burst) * self.interval_ms - (elapsed_ms - since)
                for at, since in enumerate(self.claims)
            ),
            default=0,
        )

    def has_room(self, elapsed_ms: int) -> bool:
        """Whether one more job exceeds no window that ends now."""
        return self.wait_ms(elapsed_ms) <= 0

    def must_be_open(self, now_ms: int, elapsed_ms: int) -> bool:
        """Whether a job may not be kept waiting for it."""
        self.is_certain = self.is_certain or now_ms >= self.paid_ms
        return not self.interval_ms or (self.is_certain and self.has_room(elapsed_ms))

    def claim(self, now_ms: int, elapsed_ms: int) -> None:
        """A job was claimed."""
        if self.interval_ms:
            self.claims.append(elapsed_ms)
            self.paid_ms = max(self.paid_ms, now_ms + self.burst * self.interval_ms)


class Gates:
    """All gates, and the time they live in."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.elapsed_ms = 0
        self.late_until_ms = 0
        self.paused: dict[Gate, int] = {}
        self.over: set[tuple[Gate, int]] = set()  # pauses whose end has come, though the clock may step back
        self.caps: dict[Gate, int] = {}
        self.rates: dict[Gate, Rate] = defaultdict(Rate)
        self.breakers: dict[Gate, ModelBreaker] = defaultdict(ModelBreaker)

    def pass_time(self, ms: int) -> None:
        """The clock moves, ahead or back."""
        if ms < 0:
            for rate in self.rates.values():
                rate.doubt()
            for breaker in self.breakers.values():
                breaker.doubt()
            # A small step is not noticed: what was closed before opens later by as much.
            self.late_until_ms = self.now_ms + LONGEST_CLOSING_MS if -ms <= NOTICED_MS else 0
        self.now_ms += ms
        self.elapsed_ms += max(0, ms)
        self.over |= {item for item in self.paused.items() if 0 < item[1] <= self.now_ms}
        for breaker in self.breakers.values():
            breaker.see_time(self.now_ms)

    @property
    def late_ms(self) -> int:
        """By how much what is closed may open too late."""
        return NOTICED_MS if self.now_ms < self.late_until_ms else 0

    def is_paused(self, gate: Gate) -> bool:
        """Whether a person has closed it."""
        until_ms = self.paused.get(gate)
        return until_ms is not None and (until_ms == 0 or until_ms > self.now_ms)

    def claim(self, gate: Gate, token: str, in_flight: int) -> None:
        """Note a claim that went through ``gate``, where so many are in flight with it; raises when it may
        not.
        """
        is_over = (gate, self.paused.get(gate)) in self.over
        assert is_over or not self.is_paused(gate), f"handed out though {gate} is closed"
        assert in_flight <= self.caps.get(gate, UNCAPPED), f"the cap of {gate} was exceeded"
        rate = self.rates[gate]
        assert rate.has_room(self.elapsed_ms), f"the rate of {gate} was exceeded"
        rate.claim(self.now_ms, self.elapsed_ms)
        if gate[0] == "resource":
            self.breakers[gate].claim(token, self.now_ms, self.elapsed_ms)

    def must_be_open(self, gate: Gate, in_flight: int) -> bool:
        """Whether it may keep no job waiting, where so many are in flight."""
        return not (
            self.is_paused(gate)
            or in_flight >= self.caps.get(gate, UNCAPPED)
            or not self.rates[gate].must_be_open(self.now_ms, self.elapsed_ms)
            or (gate[0] == "resource" and not self.breakers[gate].must_pass(self.now_ms))
        )
