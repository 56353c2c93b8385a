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
    # Stock pushes on the left and the mirror grows on the right, so its messages stand together on the left,
    # the newest first. In that order each is found at once; times in the past keep stock's own order.
    ready_ms, before = store.now_ms(), None
    while chunk := store.client.lrange(store.prefix + name, 0, CHUNK - 1):
        found: list[Any] = [element for element in chunk if element]
        if found == before:
            return  # another worker is at it
        before = found
        for element in found:
            job = _job(element, org)
            ready_ms -= 1
            yield name, element, job if job.due_ms else replace(job, due_ms=ready_ms)
        if len(found) < len(chunk):
            return


def _job(element: bytes, org: str) -> NewJob:
    try:
        message = loads(element)
        message["properties"].setdefault("delivery_tag", new_tag())
        job = to_job(message, limit=len(element) * 2 + 1000)
    except Exception:  # whatever is wrong with it, a worker will bury it and a person can look
        tag = new_tag()
        text = element.decode("utf-8", "surrogateescape")  # every byte of it comes back as it was
        return NewJob(tag=tag, task_id=tag, task="", org=org, message=text)
    return job if message["headers"].get("queueops") else replace(job, org=org)
