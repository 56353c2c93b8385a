"""The store's part that opens and closes gates: pauses, settings of a queue, limits of orgs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from queueops.engine import replies
from queueops.engine.rules.gates import Limits, pack_limits, unpack_limits
from queueops.engine.types import Pause
from queueops.engine.verbs import Verbs, at, steps
from queueops.errors import LimitInvalid

#: Most jobs in flight that a queue's concurrency may name.
CONCURRENCY_LIMIT = 1_000_000
#: What orgs share a queue by: worker time, or number of jobs.
FAIR_BY = ("time", "count")


def _whose(org: str, task: str, resource: str) -> tuple[str, str]:
    given = [(kind, name) for kind, name in (("org", org), ("task", task), ("resource", resource)) if name]
    if len(given) > 1:
        raise ValueError("pause and resume take an org, a task or a resource, not several")
    return given[0] if given else ("queue", "")


class GateVerbs(Verbs):
    """Part of :class:`queueops.engine.store.Store`."""

    def pause(
        self,
        queue: str,
        org: str = "",
        *,
        task: str = "",
        resource: str = "",
        until_ms: int = 0,
        by: str = "",
        reason: str = "",
        now_ms: int | None = None,
    ) -> None:
        """Close the queue, or one org or one task's name in it, or a resource (``queue`` is then ``""``: it
        has one gate for all), until ``until_ms`` (0 = until resumed).
        """
        by, reason = by.replace("\t", " "), reason.replace("\t", " ")
        self._run("pause", at(now_ms), "pause", queue, *_whose(org, task, resource), until_ms, by, reason, "")

    def resume(
        self,
        queue: str,
        org: str = "",
        *,
        task: str = "",
        resource: str = "",
        ramp_until_ms: int = 0,
        now_ms: int | None = None,
    ) -> bool:
        """Open what :meth:`pause` closed; returns whether it was closed.

        ``ramp_until_ms``: a queue opens gradually until then; its jobs in flight grow from 1 to its
        concurrency, or to its workers' slots.
        """
        ramp = ramp_until_ms or ""
        word = self._run("pause", at(now_ms), "resume", queue, *_whose(org, task, resource), 0, "", "", ramp)
        return bool(word == b"resumed")

    def paused(self, queue: str, now_ms: int | None = None) -> dict[str, Pause]:
        """Return the queue's pauses that hold, by org; the queue's own is under ``""``."""
        settings = replies.texts(self.client.hgetall(self.key("gates", queue=queue)))
        return self._holding(settings, "!", now_ms)

    def paused_tasks(self, queue: str, now_ms: int | None = None) -> dict[str, Pause]:
        """Return the pauses of single tasks in the queue that hold, by the task's name."""
        settings = replies.texts(self.client.hgetall(self.key("gates", queue=queue)))
        return self._holding(settings, "#", now_ms)

    def _holding(self, settings: Mapping[str, str], mark: str, now_ms: int | None) -> dict[str, Pause]:
        pauses = {name[1:]: replies.pause(text) for name, text in settings.items() if name.startswith(mark)}
        if any(pause.until_ms for pause in pauses.values()):
            at_ms = self.now_ms() if now_ms is None else now_ms
            pauses = {org: pause for org, pause in pauses.items() if not 0 < pause.until_ms <= at_ms}
        return pauses

    def set_queue(
        self,
        queue: str,
        *,
        concurrency: int | None = None,
        fair_by: str = "time",
        delivery_limit: int = 3,
        exempt_org: str = "",
        max_ready: int | None = None,
        max_ready_per_org: int | None = None,
        now_ms: int | None = None,
    ) -> int:
        """Publish a queue's settings; returns how many changed.

        ``exempt_org``: the default org, which the queue's default limits skip. ``max_ready``,
        ``max_ready_per_org``: how many jobs may be ready, in the queue and of one org in it (the exempt one
        excepted), after a first enqueue.
        """
        if concurrency is not None and not 0 <= concurrency <= CONCURRENCY_LIMIT:
            raise LimitInvalid(
                f"concurrency must be between 0 and {CONCURRENCY_LIMIT:,} jobs, got {concurrency}"
            )
        if fair_by not in FAIR_BY:
            raise LimitInvalid(f"fair_by must be one of {', '.join(FAIR_BY)}, got {fair_by!r}")
        if delivery_limit < 1:
            raise LimitInvalid(f"delivery limit must be at least 1, got {delivery_limit}")
        for name, limit in (("max_ready", max_ready), ("max_ready_per_org", max_ready_per_org)):
            if limit is not None and limit < 0:
                raise LimitInvalid(f"{name} must be at least 0 jobs, got {limit}")
        settings = {
            "backlog": "" if max_ready is None else str(max_ready),
            "org_backlog": "" if max_ready_per_org is None else str(max_ready_per_org),
            "concurrency": "" if concurrency is None else str(concurrency),
            "fair_by": fair_by,
            "deliveries": str(delivery_limit),
            "exempt": exempt_org,
        }
        return int(self._run("limits", at(now_ms), queue, *itertools.chain(*settings.items())))

    def set_limits(
        self,
        queue: str,
        limits: Mapping[str, Limits | None],
        then: Mapping[str, Limits] | None = None,
        now_ms: int | None = None,
    ) -> int:
        """Publish limits by org (``""``: the queue's default); ``None`` deletes. Returns how many changed.

        ``then``: the limits that follow when those with an ``until_ms`` end; without, the default follows.
        """
        changed = 0
        for step in steps(limits.items()):
            args: list[str] = []
            for org, value in step:
                after = then.get(org) if then and value is not None and value.until_ms else None
                args += (f"={org}", "" if value is None else pack_limits(value, after))
            changed += int(self._run("limits", at(now_ms), queue, *args))
        return changed

    def read_limits(self, queue: str) -> dict[str, Limits]:
        """Return what is published for ``queue``, by org; the default is under ``""``."""
        settings = replies.texts(self.client.hgetall(self.key("gates", queue=queue)))
        published = {field[1:]: text for field, text in settings.items() if field.startswith("=")}
        return {org: unpack_limits(text)[0] for org, text in published.items()}
