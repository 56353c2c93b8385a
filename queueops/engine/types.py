"""What the store's verbs take and return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from queueops.engine.rules.gates import Limits

Outcome = Literal["succeeded", "dead", "retried", "cancelled"]

#: The words that scripts answer, by verb. A test holds them to the scripts' headers.
WORDS: Mapping[str, frozenset[str]] = {
    "enqueue": frozenset(
        {"ready", "scheduled", "blocked", "duplicate", "stale", "cancelled", "existing", "unknown", "full"}
    ),
    "claim": frozenset({"claimed", "empty", "more"}),
    "settle": frozenset({"settled", "stale"}),
    "release": frozenset({"released", "dead", "cancelled", "stale", "gone"}),
    "cancel": frozenset({"cancelled", "cancelling", "unknown"}),
    "hold": frozenset({"held", "leased", "released", "unchanged", "unknown"}),
    "pause": frozenset({"paused", "resumed", "unchanged"}),
    "retry": frozenset({"ready", "unchanged", "unknown"}),
}


# These three are made for every job that runs, so they are not frozen: the guard of each field costs 0.1 us.
@dataclass(slots=True)
class Leased:
    """A job and the lease on it. ``token`` fences every later verb; ``message`` is Celery's message as
    published.
    """

    token: str
    queue: str
    tag: str
    org: str
    resource: str
    task: str
    task_id: str
    deliveries: int
    rank_ms: int
    claimed_ms: int
    once: bool
    limited: bool
    run_limit_ms: int
    first_ms: int
    attempt: int
    message: str


@dataclass(slots=True)
class Claim:
    """The answer of a claim: jobs; ``more``: ask again at once; ``wait_ms``: how long to wait for the
    bell.
    """

    jobs: list[Leased]
    more: bool
    wait_ms: int


@dataclass(slots=True)
class Settlement:
    """How a lease ended. ``run_ms``: time in the task's body; ``detail``: what a dead letter should tell;
    ``counts_as_failure``: the attempt is a failure for the breaker of its resource.
    """

    token: str
    outcome: Outcome
    run_ms: float = 0.0
    detail: dict[str, Any] | None = None
    counts_as_failure: bool = False


@dataclass(frozen=True, slots=True)
class Renewal:
    """What a process learns when it renews: tokens whose leases are over, and those whose jobs were
    cancelled (their leases run on until the jobs end). ``spared``: cancelled too, but a run that has begun
    may end.
    """

    lost: list[str]
    cancelled: list[str]
    spared: list[str]


@dataclass(frozen=True, slots=True)
class Pause:
    """A closed gate: until when (ms, 0 = until resumed), by whom and why."""

    until_ms: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class QueueSnapshot:
    """The live picture of a queue.

    ``ready`` counts stock Celery's messages in the queue's list too. ``orgs_waiting``: orgs with ready
    jobs, closed ones included. ``oldest_rank_ms``, ``oldest_ready_ms``: the smallest rank, and the longest
    ready, among the first jobs of the orgs that come next. ``totals`` count since the keyspace began.
    ``blocked``: jobs that wait for other jobs or are held.
    """

    queue: str
    now_ms: int
    ready: int
    scheduled: int
    leased: int
    orgs_waiting: int
    gate: str | None
    closed_until_ms: int | None
    paused: Pause | None
    concurrency: int | None
    slots: int
    oldest_rank_ms: int | None
    virtual_time_ms: float
    active_weight: float
    totals: dict[str, int] = field(default_factory=dict)
    oldest_ready_ms: int | None = None
    blocked: int = 0


@dataclass(frozen=True, slots=True)
class OrgSnapshot:
    """The live picture of one org in a queue. ``rate_left``: jobs it could start now, ``None`` without a
    rate. ``oldest_ready_ms``: the longest ready among the first jobs of its lanes.
    """

    queue: str
    org: str
    now_ms: int
    ready: int
    scheduled: int
    in_flight: int
    gate: str | None
    closed_until_ms: int | None
    paused: Pause | None
    rate_left: int | None
    share_cap: int | None
    weight: float
    virtual_time_ms: float
    limits: Limits | None
    oldest_ready_ms: int | None = None


@dataclass(frozen=True, slots=True)
class DeadEntry:
    """A job in the dead stream. ``message`` is whole, byte for byte; head fields are empty if it had no
    head.
    """

    id: str
    token: str
    queue: str
    tag: str
    org: str
    resource: str
    task: str
    task_id: str
    first_ms: int
    attempt: int
    deliveries: int
    died_ms: int
    detail: dict[str, Any]
    message: str


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker's registration, refreshed every 10 s.

    ``slots``: what it offers to its queues: 0 while it is ``quiet`` or ``stopping``. ``size``: jobs its pool
    runs at once, whatever it offers. ``expires_ms``: when its leases lapse. ``beat_ms``: of its last renewal.
    ``node``: its name in Celery. ``pool``: as ``celery worker --pool`` calls it. ``memory_bytes``: resident,
    of the main process and its children; ``None`` where nobody could say. ``processed``: jobs that ended in
    it.
    ``bounds``: least and most slots that its autoscaler was given, ``None`` without one. ``lapsed``: it has
    not renewed in time; it is gone, and nobody has struck it off yet.
    """

    holder: str
    hostname: str
    pid: int
    queues: list[str]
    slots: int
    version: str
    started_ms: int
    expires_ms: int
    leases: int
    node: str = ""
    pool: str = ""
    size: int = 0
    beat_ms: int = 0
    memory_bytes: int | None = None
    processed: int = 0
    quiet: bool = False
    stopping: bool = False
    bounds: tuple[int, int] | None = None
    lapsed: bool = False

    @property
    def offers(self) -> int:
        """Slots that its queues can count on."""
        return 0 if self.lapsed else self.slots


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job in the hand of a worker since ``claimed_ms``; it runs, or is about to."""

    task_id: str
    task: str
    queue: str
    org: str
    resource: str
    claimed_ms: int


@dataclass(frozen=True, slots=True)
class Scale:
    """How many slots a queue is to have: set by a person (``by``), or by the rule (``by`` is empty).

    ``until_ms``: when the setting ends; 0 = when somebody ends it. ``at_ms``: when it was made.
    """

    queue: str
    count: int
    until_ms: int
    at_ms: int
    by: str
    reason: str
