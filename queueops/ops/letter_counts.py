"""How many dead letters there are, by queue: parked rows, and what is still on its way to the database."""

from __future__ import annotations

from collections import Counter

from django.db.models import Count

from queueops.engine.store import Store
from queueops.models import DeadLetter

__all__ = ["open_letters"]


def open_letters(store: Store) -> Counter[str]:
    """Dead letters that nobody has decided about, by queue.

    Rows are counted in an index that has all it takes. Of more than 50 jobs that are not yet rows, queues are
    told from the oldest 50.
    """
    rows = DeadLetter.objects.parked().order_by().values_list("queue").annotate(Count("id"))
    found = Counter(dict(rows))
    found.update(store.dead_queues())
    return found
