"""How many dead letters there are, by queue: parked rows, and what is still on its way to the database."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from time import monotonic

from django.db import connections

from queueops.engine.store import Store
from queueops.models import DeadLetter

__all__ = ["MANY", "open_letters"]

#: Queues whose letters are counted at most.
QUEUES = 200
#: With more parked rows than this a count is kept for a while: it takes a while, too.
MANY = 20_000
#: How much longer a count is kept than it took, and at least, in seconds.
KEPT_TIMES, KEPT_SECONDS = 20, 1.0


@dataclass(slots=True)
class _Kept:
    counts: Counter[str]
    until: float


#: By the name of the database.
_kept: dict[str, _Kept] = {}


def open_letters(store: Store) -> Counter[str]:
    """Dead letters that nobody has decided about, by queue.

    Rows are counted in an index; beyond 20,000 a count may be some seconds old. Of more than 50 jobs that are
    not yet rows, queues are told from the oldest 50.
    """
    return _parked() + store.dead_queues()


def _parked() -> Counter[str]:
    parked = DeadLetter.objects.parked().order_by()
    database, now = str(connections[parked.db].settings_dict["NAME"]), monotonic()
    kept = _kept.get(database)
    if kept is not None and now < kept.until:
        return kept.counts
    # A question for each queue: counting one run of an index is twice as fast as grouping all of it.
    counts = Counter(
        {queue: parked.filter(queue=queue).count() for queue in DeadLetter.objects.values_of("queue", QUEUES)}
    )
    ended = monotonic()
    if counts.total() > MANY:
        _kept[database] = _Kept(counts, ended + max(KEPT_SECONDS, KEPT_TIMES * (ended - now)))
    return counts
