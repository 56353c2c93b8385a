"""A clock that tests move by hand; scripts take its time in place of the server's."""

from __future__ import annotations

# A round number in 2027, far from zero: a script that confuses seconds with milliseconds shows at once.
START_MS = 1_800_000_000_000


class ManualClock:
    """Time in milliseconds that stands still until it is moved."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms

    def advance(self, *, ms: int = 0, seconds: float = 0.0) -> int:
        """Move forward, or back by a negative length; return the new time in milliseconds."""
        self.now_ms += ms + round(seconds * 1000)
        return self.now_ms
