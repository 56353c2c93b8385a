"""The sweep of offloaded arguments: what no job and no dead letter needs any more is deleted.

Workers delete a payload when its job has ended well. Left over are those of jobs that were cancelled, purged,
refused at the publish, or whose letters were closed, and of workers that died in between.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

from django.utils import timezone

from queueops.engine.rules.states import LetterStatus
from queueops.engine.store import Store
from queueops.errors import ConfigurationError
from queueops.middleware import payloads
from queueops.models import DeadLetter, OutboxEntry
from queueops.ops.connections import released

__all__ = ["sweep"]

#: Younger payloads may belong to a publish that is under way.
YOUNGEST = timedelta(hours=1)
_STEP = 200


def sweep(store: Store, *, seconds: float = 20.0, youngest: timedelta = YOUNGEST) -> int:
    """Delete payloads that nobody needs, oldest first; return how many.

    Args:
        seconds: stop after this time; the next sweep begins anew, and what lives costs it only a look.
        youngest: leave alone what was saved later than this before now (whole hours).

    Raises:
        django.db.Error: the database did not say which letters there are; nothing was deleted since.
    """
    if store.dead_size():
        return 0  # letters on their way to the database may need theirs
    deadline, deleted = time.monotonic() + seconds, 0
    found = _old(youngest)
    while names := list(islice(found, _STEP)):
        ids = [payloads.task_id_of(name) for name in names]
        # The rows first: a replay or a relay that closes one has enqueued its job before.
        with released():
            letters = DeadLetter.objects.filter(task_id__in=ids, status=LetterStatus.PARKED)
            entries = OutboxEntry.objects.filter(task_id__in=ids)
            needed = {*letters.values_list("task_id", flat=True), *entries.values_list("task_id", flat=True)}
        needed |= store.living(ids)
        for name, task_id in zip(names, ids, strict=True):
            deleted += task_id not in needed and payloads.remove(name)
        if time.monotonic() > deadline:
            break
    return deleted


def _old(youngest: timedelta) -> Iterator[str]:
    try:
        storage = payloads.storage()
    except ConfigurationError:
        return
    for folder in payloads.folders_before(timezone.now() - youngest):
        _, files = storage.listdir(folder)
        yield from (f"{folder}/{name}" for name in files if payloads.task_id_of(name))
        if not files:
            payloads.remove(folder)
