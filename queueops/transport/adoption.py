"""Moves messages that stock Celery left in a queue's lists into lanes, so that a team changes the URL and
loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from kombu.utils.json import loads

from queueops.engine.rules.envelope import NewJob
from queueops.engine.store import Store
from queueops.transport.messages import new_tag, to_job

#: Stock kombu keeps a queue in up to four lists, by priority.
SUFFIXES = ("", "\x06\x163", "\x06\x166", "\x06\x169")
#: Elements read at once.
CHUNK = 1000


def adopt(store: Store, queue: str, *, org: str) -> int:
    """Move what stock left in the lists of ``queue`` into lanes of ``org``; returns how many messages
    moved.
    """
    return sum(store.adopt(queue, _found(store, queue, queue + suffix, org)) for suffix in SUFFIXES)


def _found(store: Store, queue: str, name: str, org: str) -> Iterator[tuple[str, bytes, NewJob]]:
    # Stock pushes on the left and the mirror grows on the right, so the walk ends at the first run of
    # empty elements. From the right end of what is left of it: that is stock's order.
    elements: list[bytes] = []
    start = 0
    while chunk := store.client.lrange(store.prefix + name, start, start + CHUNK - 1):
        found: list[Any] = [element for element in chunk if element]
        elements += found
        if len(found) < len(chunk):
            break
        start += CHUNK
    for element in reversed(elements):
        yield name, element, _job(element, org)


def _job(element: bytes, org: str) -> NewJob:
    try:
        message = loads(element)
        message["properties"].setdefault("delivery_tag", new_tag())
        job = to_job(message, limit=len(element) * 2 + 1000)
    except Exception:  # whatever is wrong with it, a worker will bury it and a person can look
        tag = new_tag()
        return NewJob(tag=tag, task_id=tag, task="", org=org, message=element.decode("utf-8", "replace"))
    return job if message["headers"].get("queueops") else replace(job, org=org)
