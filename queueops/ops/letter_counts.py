"""How many dead letters there are, by queue: parked rows, and what is still on its way to the database."""

from __future__ import annotations

from collections import Counter

from django.db import connections

from queueops.engine.store import Store
from queueops.models import DeadLetter
from queueops.ops.keeping import Keeper

__all__ = ["MANY", "open_letters"]

#: Queues whose letters are counted at most.
QUEUES = 200
#: With more parked rows than this a count is kept for a while: it takes a while, too.
MANY = 20_000

_counts: Keeper[Counter[str]] = Keeper(lambda counts: counts.total() > MANY)


def open_letters(store: Store) -> Counter[str]:
    """Dead letters that nobody has decided about, by queue.

    Rows are counted in an index; beyond 20,000 a count may be some seconds old. Of more than 50 jobs that are
    not yet rows, queues are told from the oldest 50.
    """
    return _parked() + store.dead_queues()


def _parked() -> Counter[str]:
    parked = DeadLetter.objects.parked().order_by()

    def count() -> Counter[str]:
        # A question for each queue: counting one run of an index is twice as fast as grouping all of it.
        queues = DeadLetter.objects.values_of("queue", QUEUES)
        return Counter({queue: parked.filter(queue=queue).count() for queue in queues})

    return _counts.get(str(connections[parked.db].settings_dict["NAME"]), count)
