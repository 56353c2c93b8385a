"""One lease of a process, from its claim to the moment Redis knows of its end."""

from __future__ import annotations

from collections.abc import Callable

from queueops.engine.types import Leased

__all__ = ["Held"]


class Held:
    """One lease of this process. ``started`` is set when the pool accepted the job (monotonic seconds).

    ``sure``: monotonic time at which the claim was sent, and later the last renewal that named the lease and
    found it: from then on it lasts as long as a lease does, however late the answer was read.
    """

    __slots__ = (
        "cancelled",
        "ended",
        "handed",
        "job",
        "lost",
        "parked",
        "share",
        "slot",
        "started",
        "sure",
        "then",
    )

    def __init__(self, job: Leased, sure: float) -> None:
        self.job = job
        self.sure = sure
        self.handed = self.lost = self.cancelled = False
        #: Its end is known here and waits for Redis to confirm it.
        self.ended = False
        #: Waits for others of its batch, without a slot; then so many run together in the slot of one.
        self.parked = self.slot = False
        self.share = 1
        self.started: float | None = None
        self.then: Callable[[str], None] | None = None

    def ran_ms(self, now: float) -> float:
        """Return how long the job has run at ``now``."""
        return 0.0 if self.started is None else (now - self.started) * 1000 / self.share
