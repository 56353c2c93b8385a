"""A store, a clock that stands still, and shorthand for what tests do with both."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import redis

from queueops.engine.rules.envelope import NewJob
from queueops.engine.store import Store
from queueops.engine.types import Claim, Leased, Outcome, Renewal, Settlement
from tests.support.clock import ManualClock

QUEUE = "standard"
#: Patience of a job whose test does not care.
PATIENCE_MS = 1000


class World:
    """The engine under a prefix of its own, and time that moves only by the test's hand."""

    def __init__(self, port: int, prefix: str) -> None:
        self.client = redis.Redis(port=port)
        self.store = Store(self.client, prefix=prefix)
        self.clock = ManualClock()
        self._numbers = itertools.count(1)

    @property
    def now(self) -> int:
        """The time, in ms."""
        return self.clock.now_ms

    def job(self, org: str = "acme", **fields: Any) -> NewJob:
        """A job of ``org`` with the next tag: t1, t2, ..."""
        number = next(self._numbers)
        known: dict[str, Any] = {
            "tag": f"t{number:04}",
            "task_id": f"id{number}",
            "task": "tasks.work",
            "message": f"message {number}",
            "patience_ms": PATIENCE_MS,
            "first_ms": self.now,
        }
        return NewJob(org=org, **{**known, **fields})

    def enqueue(self, org: str = "acme", number: int = 1, queue: str = QUEUE, **fields: Any) -> list[NewJob]:
        """Enqueue so many jobs of ``org`` now."""
        jobs = [self.job(org, **fields) for _ in range(number)]
        self.store.enqueue(queue, jobs, now_ms=self.now)
        return jobs

    def claim(
        self,
        free: int = 1,
        holder: str = "w1",
        queues: Sequence[str] = (QUEUE,),
        ahead: int = 0,
        forget: bool = False,
    ) -> Claim:
        """Claim for ``holder``."""
        number = next(self._numbers)
        return self.store.claim(queues, free, ahead, holder, number, forget=forget, now_ms=self.now)

    def take(self, free: int = 1, holder: str = "w1", **options: Any) -> list[Leased]:
        """Claim until the answer is not ``more``; return the jobs."""
        jobs: list[Leased] = []
        while len(jobs) < free:
            claim = self.claim(free - len(jobs), holder, **options)
            jobs += claim.jobs
            if not claim.more:
                break
        return jobs

    def one(self, holder: str = "w1", **options: Any) -> Leased:
        """Claim exactly one job."""
        [job] = self.take(1, holder, **options)
        return job

    def settle(
        self,
        *jobs: Leased,
        outcome: Outcome = "succeeded",
        run_ms: float = 100,
        detail: dict[str, Any] | None = None,
    ) -> list[str]:
        """End leases."""
        items = [Settlement(job.token, outcome, run_ms, detail) for job in jobs]
        return self.store.settle(items, now_ms=self.now)

    def renew(self, holder: str = "w1", ran: Mapping[str, float] | None = None, **options: Any) -> list[str]:
        """Renew the leases that ``ran`` names; returns the tokens that are lost."""
        return self.renewal(holder, ran, **options).lost

    def renewal(self, holder: str = "w1", ran: Mapping[str, float] | None = None, **options: Any) -> Renewal:
        """Renew the leases that ``ran`` names; returns all that the process learns."""
        options.setdefault("answered", 0)
        return self.store.renew(holder, ran or {}, now_ms=self.now, **options)

    def beat(self) -> int:
        """One beat of a worker; returns how many leases it reaped."""
        return self.store.reap(now_ms=self.now)

    def beat_for(self, seconds: float) -> int:
        """Let time pass with a beat each second, as a living worker keeps it; returns how many leases were
        reaped.
        """
        reaped = 0
        for _ in range(int(seconds)):
            self.clock.advance(seconds=1)
            reaped += self.beat()
        return reaped

    def register(self, holder: str = "w1", slots: int = 8, queues: Sequence[str] = (QUEUE,)) -> None:
        """Register a worker."""
        info = {
            "hostname": holder,
            "pid": 1,
            "queues": list(queues),
            "slots": slots,
            "version": "1",
            "started_ms": self.now,
        }
        self.renew(holder, registration=info)

    def org(self, org: str = "acme", queue: str = QUEUE) -> Any:
        """The picture of one org."""
        return self.store.org_snapshot(queue, org, now_ms=self.now)

    def queue(self, queue: str = QUEUE) -> Any:
        """The picture of one queue."""
        return self.store.queue_snapshot(queue, now_ms=self.now)

    def bell(self, queue: str = QUEUE) -> bool:
        """Whether the queue's bell was rung since the last call."""
        return bool(self.client.delete(self.store.key("bell", queue=queue)))

    def keyspace(self) -> dict[str, Any]:
        """Everything there is, by key without the prefix."""
        prefix = self.store.prefix.encode()
        keys = sorted(self._keys())
        kinds = self._all([("TYPE", key) for key in keys])
        values = self._all(
            [(*READS[kind][0], key, *READS[kind][1]) for key, kind in zip(keys, kinds, strict=True)]
        )
        return {
            key[len(prefix) :].decode(): AS_TEXT[kind](value)
            for key, kind, value in zip(keys, kinds, values, strict=True)
        }

    def clear(self) -> None:
        """Delete everything there is."""
        keys = self._keys()
        for start in range(0, len(keys), 1000):
            self.client.delete(*keys[start : start + 1000])

    def _keys(self) -> list[bytes]:
        return list(self.client.scan_iter(match=f"{self.store.prefix}*", count=10_000))

    def _all(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return list(pipeline.execute())


def _text(value: bytes) -> str:
    return value.decode()


def _texts(values: Mapping[bytes, bytes]) -> dict[str, str]:
    return {field.decode(): value.decode() for field, value in values.items()}


#: How to read each type, before and after the key, and how to show it.
READS: dict[bytes, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    b"string": (("GET",), ()),
    b"hash": (("HGETALL",), ()),
    b"set": (("SMEMBERS",), ()),
    b"zset": (("ZRANGE",), (0, -1, "WITHSCORES")),
    b"list": (("LRANGE",), (0, -1)),
    b"stream": (("XRANGE",), ("-", "+")),
}
AS_TEXT: dict[bytes, Callable[[Any], Any]] = {
    b"string": _text,
    b"hash": _texts,
    b"set": lambda members: {member.decode() for member in members},
    b"zset": lambda members: {member.decode(): score for member, score in members},
    b"list": lambda elements: [element.decode() for element in elements],
    b"stream": lambda entries: [_texts(entry) for _, entry in entries],
}
