"""The store's part for workers: who is there, what they hold, and how many slots their queues are to have."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from queueops.engine import replies
from queueops.engine.types import HeldJob, Scale, WorkerInfo
from queueops.engine.verbs import Verbs

__all__ = ["WorkerVerbs"]

#: Leases of one process up to which all are read; of more about so many as are asked for.
READ_WHOLE = 200


class WorkerVerbs(Verbs):
    """Part of :class:`queueops.engine.store.Store`."""

    def workers(self, *, leases: bool = True) -> list[WorkerInfo]:
        """Return the registered workers; without ``leases`` nobody counts those, and all have none."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hgetall(self.key("workers"))
        pipeline.zrange(self.key("holders"), 0, -1, withscores=True)
        pipeline.time()
        registered, holders, (seconds, _) = pipeline.execute()
        found = sorted(replies.texts(registered).items())
        expiries = {name.decode(): int(ms) for name, ms in holders}
        for holder, _ in found if leases else ():
            pipeline.hlen(self.key("held", holder=holder))
        numbers = pipeline.execute() if leases and found else [0] * len(found)
        return [
            replies.worker(holder, json.loads(info), expiries.get(holder, 0), number, int(seconds) * 1000)
            for (holder, info), number in zip(found, numbers, strict=True)
        ]

    def held_by(self, workers: Iterable[WorkerInfo], limit: int) -> dict[str, list[HeldJob]]:
        """Return at most ``limit`` jobs that each worker holds, the longest held first; by holder.

        Of a process with more than :data:`READ_WHOLE` leases some are returned, not the longest held.
        """
        holders = [one for one in workers if one.leases and limit > 0]
        pipeline = self.client.pipeline(transaction=False)
        for one in holders:
            key = self.key("held", holder=one.holder)
            if one.leases <= READ_WHOLE:
                pipeline.hvals(key)
            else:
                pipeline.hscan(key, 0, count=limit)
        found: dict[str, list[HeldJob]] = {}
        for one, reply in zip(holders, pipeline.execute() if holders else [], strict=True):
            lines = reply if isinstance(reply, list) else reply[1].values()
            jobs = map(replies.held_job, lines)
            found[one.holder] = sorted(jobs, key=lambda job: job.claimed_ms)[:limit]
        return found

    def set_scale(self, setting: Scale) -> None:
        """Have a queue's workers take so many slots together, until the setting ends or another one comes."""
        self._write_scale("=", setting)

    def note_scale(self, wanted: Scale) -> None:
        """Write down how many slots the rule wants now, for all workers of the queue that follow it."""
        self._write_scale("~", wanted)

    def drop_scale(self, queue: str) -> bool:
        """End what :meth:`set_scale` has set; False when nothing was."""
        return bool(self.client.hdel(self.key("scale"), f"={queue}"))

    def scales(self, queues: Sequence[str]) -> tuple[dict[str, tuple[Scale | None, Scale | None]], int]:
        """Return of each queue the setting that holds now, and what its rule wanted last; and the server's
        time in ms.
        """
        pipeline = self.client.pipeline(transaction=False)
        pipeline.time()
        pipeline.hmget(self.key("scale"), [f"{mark}{queue}" for queue in queues for mark in "=~"] or [""])
        (seconds, micros), lines = pipeline.execute()
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        found: dict[str, tuple[Scale | None, Scale | None]] = {}
        for at, queue in enumerate(queues):
            setting, wanted = (line and replies.scale(queue, line) for line in lines[2 * at : 2 * at + 2])
            over = setting is not None and 0 < setting.until_ms <= now_ms
            found[queue] = (None if over else setting, wanted)
        return found, now_ms

    def _write_scale(self, mark: str, one: Scale) -> None:
        line = f"{one.count}\t{one.until_ms}\t{one.at_ms}\t{one.by}\t{one.reason}"
        self.client.hset(self.key("scale"), f"{mark}{one.queue}", line)
