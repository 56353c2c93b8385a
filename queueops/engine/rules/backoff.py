"""How long a failed job waits before its next attempt, and when it is given up."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from queueops.errors import ConfigurationError

__all__ = ["DEFAULT_POLICIES", "Jitter", "RetryPolicy", "policy_from"]

Jitter = Literal["none", "full"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """After failed attempt n a job waits `min(base * 2^(n-1), cap)`, and dies after the last attempt.

    Attributes:
        base_seconds: the wait after the first attempt, in seconds.
        cap_seconds: the longest wait, in seconds.
        attempts: how often the job runs at most, the first run included.
        jitter: "none", or "full" for a wait drawn evenly from 0 to the value above.
    """

    base_seconds: float
    cap_seconds: float
    attempts: int = 3
    jitter: Jitter = "none"

    def __post_init__(self) -> None:
        # `not >` also refuses NaN.
        if not self.base_seconds >= 0 or not self.cap_seconds >= self.base_seconds:
            raise ConfigurationError(
                "A retry policy needs 0 <= base_seconds <= cap_seconds, "
                f"not {self.base_seconds!r} and {self.cap_seconds!r}."
            )
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int) or self.attempts < 1:
            raise ConfigurationError(f"A retry policy needs attempts >= 1, not {self.attempts!r}.")
        if self.jitter not in ("none", "full"):
            raise ConfigurationError(f'A retry policy\'s jitter is "none" or "full", not {self.jitter!r}.')

    def delay(self, attempt: int, source: random.Random | None = None) -> float:
        """Return the seconds to wait after `attempt` (1 is the first run) has failed.

        Args:
            attempt: the number of the attempt that failed, from 1.
            source: where jitter is drawn from; a seeded one makes it repeatable.
        """
        # 2**63 seconds is beyond any cap; bounding the exponent keeps the float finite.
        longest = min(self.base_seconds * 2.0 ** min(attempt - 1, 63), self.cap_seconds)
        if self.jitter == "full":
            return (source or random).uniform(0.0, longest)
        return longest

    def exhausted(self, attempt: int) -> bool:
        """Whether `attempt` (1 is the first run) was the last one."""
        return attempt >= self.attempts


DEFAULT_POLICIES: Mapping[str, RetryPolicy] = {
    "critical": RetryPolicy(5, 300),
    "standard": RetryPolicy(20, 3600),
    "bulk": RetryPolicy(120, 3600),
}


def policy_from(value: object, base: RetryPolicy) -> RetryPolicy:
    """Return a policy from a `RetryPolicy` or a mapping of some of its fields; `base` gives the rest.

    Raises:
        ConfigurationError: an unknown field or a value out of range.
    """
    if isinstance(value, RetryPolicy):
        return value
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"A retry policy is a RetryPolicy or a dict, not {value!r}.")
    known = RetryPolicy.__dataclass_fields__
    for key in value:
        if key not in known:
            raise ConfigurationError(f"A retry policy has no field {key!r}; it has {', '.join(known)}.")
    merged = {name: value.get(name, getattr(base, name)) for name in known}
    # A base above the inherited cap would be refused though only one of the two was given.
    if "base_seconds" in value and "cap_seconds" not in value:
        merged["cap_seconds"] = max(merged["cap_seconds"], merged["base_seconds"])
    if "cap_seconds" in value and "base_seconds" not in value:
        merged["base_seconds"] = min(merged["cap_seconds"], merged["base_seconds"])
    return RetryPolicy(**merged)
