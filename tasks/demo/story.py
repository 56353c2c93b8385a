"""What happened in the demonstration; checks and report look at this and at nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from queueops.engine.rules.backoff import RetryPolicy
from tasks.demo.breaker import Change
from tasks.demo.events import Event
from tasks.demo.receiver import Arrival

if TYPE_CHECKING:
    from queueops.models import DeadLetter
    from tasks.models import Delivery


@dataclass(slots=True)
class Story:
    """What happened; times are seconds of the monotonic clock.

    *broken* answers 503 until its dead letters are replayed, *flaky* until its breaker has opened twice;
    *breaker* is what was seen of that one.

    *task_ids* has one entry for each event, *letters* the dead letters as they were before the replay,
    *replayed* how many of them the verb made jobs of, *left* what the queue still held at the end,
    *late* what ended the story early.
    """

    events: Sequence[Event]
    broken: str
    flaky: str
    policy: RetryPolicy
    sent_at: dict[str, float] = field(default_factory=dict)
    task_ids: dict[str, str] = field(default_factory=dict)
    arrivals: list[Arrival] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    replayed_ids: set[int] = field(default_factory=set)
    replayed: int = 0
    mended_at: float = 0.0
    breaker: list[Change] = field(default_factory=list)
    flaky_mended_at: float = 0.0
    deliveries: list[Delivery] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    late: str = ""
