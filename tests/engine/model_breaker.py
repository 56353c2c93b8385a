"""What a breaker promises.

Where calls fade out of its window, or the clock has stepped back, it may do either thing; the model then
follows the engine, and holds it to what it has chosen.
"""

from __future__ import annotations

from typing import Literal

from queueops.engine.resource_verbs import ResourceSnapshot
from queueops.engine.rules.gates import Breaker

Verdict = Literal["good", "bad", ""]


class ModelBreaker:
    """The breaker of one resource, with or without a policy."""

    def __init__(self) -> None:
        self.policy: Breaker | None = None
        self.state: Literal["closed", "open", "half_open"] = "closed"
        self.until_ms = 0  # of an open one; 0: until ended by hand
        self.by_hand = False
        self.opened_ms = 0  # in time that has passed
        self.length_ms = 0.0
        self.opens = 0
        self.was_over = False  # its time had come, before the clock stepped back
        self.probes: set[str] = set()  # tokens of all there ever were
        self.out: set[str] = set()  # those of this round that have not ended
        self.passed = 0
        self.calls: list[tuple[int, Verdict]] = []
        self.doubtful = 0  # so many of the first ones may be forgotten
        self.opening: Literal["must", "may", ""] = ""

    @property
    def _policy(self) -> Breaker:
        return self.policy or Breaker()

    # What people do

    def change(self, policy: Breaker | None) -> None:
        """Another policy, or none."""
        self.policy = policy
        if self.state == "half_open" and self.passed >= self._policy.probes:
            self.close()

    def open(self, until_ms: int, elapsed_ms: int, *, by_hand: bool = True) -> None:
        """It opens, until the clock says ``until_ms`` (0: until it is closed by hand)."""
        self.state, self.until_ms, self.by_hand, self.opened_ms = "open", until_ms, by_hand, elapsed_ms
        self.was_over, self.opening = False, ""
        self.calls, self.doubtful = [], 0

    def close(self) -> None:
        """It closes: calls pass, and what has failed is forgotten."""
        self.state, self.until_ms, self.opens, self.opening = "closed", 0, 0, ""
        self.calls, self.doubtful = [], 0

    # Time

    def see_time(self, now_ms: int) -> None:
        """The clock has moved."""
        self.was_over = self.was_over or (self.state == "open" and 0 < self.until_ms <= now_ms)

    def doubt(self) -> None:
        """The clock steps back."""
        self.doubtful = len(self.calls)

    # What jobs do

    def may_pass(self, elapsed_ms: int) -> bool:
        """Whether a job may be claimed."""
        if self.state == "open":
            if self.by_hand or not self.until_ms:
                return self.was_over
            return elapsed_ms >= self.opened_ms + self.length_ms
        return self._has_place()

    def must_pass(self, now_ms: int) -> bool:
        """Whether no job may be kept waiting for it."""
        return 0 < self.until_ms <= now_ms if self.state == "open" else self._has_place()

    def _has_place(self) -> bool:
        return self.state == "closed" or self.passed + len(self.out) < self._policy.probes

    def claim(self, token: str, now_ms: int, elapsed_ms: int) -> None:
        """A job was claimed."""
        self.see_time(now_ms)
        assert self.may_pass(elapsed_ms), f"handed out though the breaker is {self.state}"
        if self.state == "open":
            self.state, self.out, self.passed = "half_open", set(), 0
        if self.state == "half_open":
            self.out.add(token)
            self.probes.add(token)

    def end(self, token: str, verdict: Verdict, now_ms: int, elapsed_ms: int) -> None:
        """Its lease is over."""
        if token in self.probes:
            if self.state == "half_open" and token in self.out:
                self.out.discard(token)
                self._probe_ended(verdict, now_ms, elapsed_ms)
        elif verdict and self.policy and self.state == "closed":
            self.calls.append((now_ms, verdict))
            self.opening = self._may_open(self.policy, now_ms) if verdict == "bad" else ""

    def _probe_ended(self, verdict: Verdict, now_ms: int, elapsed_ms: int) -> None:
        if verdict == "bad":
            self._trip(now_ms, elapsed_ms)
        elif verdict == "good":
            self.passed += 1
            if self.passed >= self._policy.probes:
                self.close()

    def _trip(self, now_ms: int, elapsed_ms: int) -> None:
        policy = self._policy
        self.length_ms = 1000 * min(policy.longest_open_seconds, policy.open_seconds * 2**self.opens)
        self.opens += 1
        self.open(int(now_ms + self.length_ms), elapsed_ms, by_hand=False)

    def _may_open(self, policy: Breaker, now_ms: int) -> Literal["must", "may", ""]:
        window_ms = policy.window_seconds * 1000
        sure: list[Verdict] = []
        fading: list[Verdict] = []
        for number, (at_ms, verdict) in enumerate(self.calls):
            windows = now_ms // window_ms - at_ms // window_ms
            if number < self.doubtful or windows == 1:
                fading.append(verdict)
            elif windows == 0:
                sure.append(verdict)
        bad, good = sure.count("bad"), sure.count("good")
        least = bad / (bad + good + fading.count("good"))
        most = (bad + fading.count("bad")) / (bad + fading.count("bad") + good)
        if len(sure) >= policy.min_calls and least >= policy.failure_share:
            return "must"
        enough = len(sure) + len(fading) >= policy.min_calls
        return "may" if enough and most >= policy.failure_share else ""

    # What the engine says

    def compare(self, picture: ResourceSnapshot, now_ms: int, elapsed_ms: int) -> None:
        """Raise when the engine's picture can not be right; follow it where it may choose."""
        if self.opening and picture.breaker != "closed":
            self._trip(now_ms, elapsed_ms)
        assert self.opening != "must", "it should have opened"
        self.opening = ""
        if self.state != "open":
            assert picture.breaker == self.state
            if self.state == "half_open":
                assert (picture.probes_out, picture.probes_passed) == (len(self.out), self.passed)
            return
        is_asked = picture.gate != "pause"  # while a person holds the resource, nobody asks the breaker
        assert picture.breaker == "open" if not self.may_pass(elapsed_ms) else picture.breaker != "closed"
        assert picture.breaker == "half_open" or not (is_asked and self.must_pass(now_ms)), "its time is over"
        assert picture.forced == self.by_hand
        if self.by_hand:
            assert picture.until_ms == self.until_ms, "a person has said until when"
        elif is_asked and picture.breaker == "open":
            assert picture.until_ms <= min(self.until_ms, now_ms + self.length_ms), "it is open for too long"
