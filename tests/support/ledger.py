"""What really ran: every run of a job leaves its start and its end on a server of its own.

The broker under test says what it believes; the ledger says what happened. A job that ran twice has two
starts, a lost one has none, and the order of the entries gives how many ran side by side. One list in one
server: entries of all processes stand in the order in which they were written.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import redis


@dataclass(frozen=True)
class Entry:
    """One line: ``event`` is start, end or error; ``at`` is Unix time in seconds, ``pid`` the process that
    ran it."""

    event: str
    job: str
    at: float
    pid: int
    worker: str = ""
    org: str = ""
    task_id: str = ""
    retries: int = 0


class Ledger:
    """The writer's and the reader's side of one test's entries, kept apart from other tests' by
    ``namespace``."""

    def __init__(self, url: str, namespace: str) -> None:
        self.url = url
        self.namespace = namespace

    @cached_property
    def client(self) -> redis.Redis:
        # Waiting at a gate takes as long as the test wants: a default timeout of the client must not end it.
        # As many connections as greenlets: what is counted here are the broker's.
        return redis.Redis.from_url(
            self.url, decode_responses=True, socket_timeout=None, max_connections=2_000
        )

    def _key(self, name: str) -> str:
        return f"{self.namespace}:{name}"

    # What tasks call.

    def write(self, event: str, job: str, **facts: object) -> None:
        """Append one entry."""
        line = {"event": event, "job": job, "at": time.time(), "pid": os.getpid(), **facts}
        self.client.rpush(self._key("runs"), json.dumps(line))

    @contextmanager
    def recorded(self, job: str, **facts: object) -> Iterator[None]:
        """Write start and end around a body; an exception is written as error and goes on."""
        self.write("start", job, **facts)
        try:
            yield
        except BaseException:
            self.write("error", job, **facts)
            raise
        self.write("end", job, **facts)

    def wait_at(self, gate: str, *, within: float) -> bool:
        """Stand still until the test opens ``gate``, at most ``within`` seconds; return whether it was
        opened."""
        # BLMOVE puts the mark back, so that one opening lets everybody through.
        mark = self.client.blmove(self._key(f"gate:{gate}"), self._key(f"gate:{gate}"), timeout=within)
        return mark is not None

    def is_broken(self, thing: str) -> bool:
        """Whether the test has broken the outside ``thing`` that a task uses."""
        return bool(self.client.exists(self._key(f"broken:{thing}")))

    def announce(self, name: str) -> None:
        """Say that something has happened, for ``heard``."""
        self.client.rpush(self._key(f"said:{name}"), "1")

    # What tests call.

    def open(self, gate: str) -> None:
        """Let every job through that waits at ``gate``, now and later."""
        self.client.rpush(self._key(f"gate:{gate}"), "open")

    def break_down(self, thing: str) -> None:
        """Let every run that uses ``thing`` fail from now on."""
        self.client.set(self._key(f"broken:{thing}"), "1")

    def mend(self, thing: str) -> None:
        """Let runs that use ``thing`` succeed again."""
        self.client.delete(self._key(f"broken:{thing}"))

    def heard(self, name: str, *, within: float) -> bool:
        """Wait until ``name`` was announced, at most ``within`` seconds; each announcement is heard once."""
        return self.client.blpop([self._key(f"said:{name}")], timeout=within) is not None

    def entries(self) -> list[Entry]:
        """All entries, in the order in which they were written."""
        return [Entry(**json.loads(line)) for line in self.client.lrange(self._key("runs"), 0, -1)]

    def count(self) -> int:
        """How many entries there are."""
        return int(self.client.llen(self._key("runs")))

    def of(self, job: str, event: str = "start") -> list[Entry]:
        """The entries of one job and event."""
        return [entry for entry in self.entries() if entry.job == job and entry.event == event]

    def starts(self, job: str) -> int:
        return len(self.of(job, "start"))

    def ends(self, job: str) -> int:
        return len(self.of(job, "end"))

    def ended(self) -> set[str]:
        """The jobs that reached their end at least once."""
        return {entry.job for entry in self.entries() if entry.event == "end"}

    def running(self) -> int:
        """How many runs have begun and not ended."""
        return sum(1 if entry.event == "start" else -1 for entry in self.entries())

    def assert_each_ran_once(self, jobs: list[str]) -> None:
        """Every one of ``jobs`` started once and ended once; nothing else ran."""
        starts, ends = dict.fromkeys(jobs, 0), dict.fromkeys(jobs, 0)
        strangers: list[str] = []
        for entry in self.entries():
            tally = {"start": starts, "end": ends}.get(entry.event)
            if tally is None or entry.job not in tally:
                strangers.append(f"{entry.event} {entry.job}")
            else:
                tally[entry.job] += 1
        lost = [job for job, n in ends.items() if n == 0]
        twice = [job for job, n in starts.items() if n > 1]
        assert not lost, f"lost: {len(lost)} of {len(jobs)}: {lost[:5]}"
        assert not twice, f"started more than once: {len(twice)} of {len(jobs)}: {twice[:5]}"
        assert not strangers, f"entries that nobody asked for: {strangers[:5]}"

    def most_at_once(self, matching: Callable[[Entry], bool] = lambda entry: True) -> int:
        """The largest number of matching jobs that ran side by side. A job that started again counts once:
        its earlier run was killed."""
        running: set[str] = set()
        most = 0
        for entry in filter(matching, self.entries()):
            if entry.event == "start":
                running.add(entry.job)
            else:
                running.discard(entry.job)
            most = max(most, len(running))
        return most
