"""The store's verbs on resources: their limits, their breaker, and how they are now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from queueops.engine import replies
from queueops.engine.rules.gates import ResourceLimits
from queueops.engine.rules.resources import pack_resource, unpack_resource
from queueops.engine.types import Pause
from queueops.engine.verbs import Verbs, at, steps

BreakerState = Literal["closed", "open", "half_open"]
_STATES: Mapping[str, BreakerState] = {"": "closed", "open": "open", "half": "half_open"}


@dataclass(frozen=True, slots=True)
class ResourceSnapshot:
    """The live picture of a resource.

    ``gate``: what closes it now, until ``closed_until_ms``. ``rate_left``: jobs it could start now, ``None``
    without a rate. Of its breaker: ``forced`` when a person opened it (``by``); ``since_ms`` of its state,
    ``until_ms`` of an open one (0: until ended by hand), ``opens`` in a row, ``good`` and ``bad`` calls in
    its window, ``probes_out`` jobs that try it and ``probes_passed`` that succeeded. ``waiting``, ``orgs``:
    ready jobs and orgs by queue; of each queue the jobs of at most 500 orgs are counted.
    """

    resource: str
    now_ms: int
    in_flight: int
    gate: str | None
    closed_until_ms: int | None
    paused: Pause | None
    rate_left: int | None
    limits: ResourceLimits | None
    breaker: BreakerState
    forced: bool
    since_ms: int
    until_ms: int
    reason: str
    by: str
    opens: int
    good: float
    bad: float
    probes_out: int
    probes_passed: int
    waiting: dict[str, int]
    orgs: dict[str, int]


class ResourceVerbs(Verbs):
    """Part of :class:`queueops.engine.store.Store`."""

    def set_resources(self, limits: Mapping[str, ResourceLimits | None], now_ms: int | None = None) -> int:
        """Publish limits by resource, some hundreds a step; ``None`` deletes. Returns how many changed."""
        changed = 0
        for step in steps(limits.items()):
            args: list[str] = []
            for name, value in step:
                args += (name, "" if value is None else pack_resource(value))
            changed += int(self._run("resources", at(now_ms), *args))
        return changed

    def read_resources(self) -> dict[str, ResourceLimits]:
        """Return what is published, by resource; those without limits are left out."""
        names = self.resources()
        pipeline = self.client.pipeline(transaction=False)
        for name in names:
            pipeline.hget(self.key("resource", resource=name), "=")
        published = zip(names, pipeline.execute(), strict=True)
        return {name: unpack_resource(text.decode()) for name, text in published if text}

    def resources(self) -> list[str]:
        """Return the names of all resources that have limits or a state; forgets those that have neither."""
        known = self.key("resources")
        names = sorted(name.decode() for name in self.client.smembers(known))
        pipeline = self.client.pipeline(transaction=False)
        for name in names:
            pipeline.exists(self.key("resource", resource=name))
        living = dict(zip(names, pipeline.execute(), strict=True)) if names else {}
        if gone := [name for name, lives in living.items() if not lives]:
            self.client.srem(known, *gone)
        return [name for name, lives in living.items() if lives]

    def alarmed(self) -> list[str]:
        """Return the resources whose breaker is not closed, without a script for each of the others."""
        names = sorted(name.decode() for name in self.client.smembers(self.key("resources")))
        pipeline = self.client.pipeline(transaction=False)
        for name in names:
            pipeline.hget(self.key("resource", resource=name), "state")
        return [name for name, state in zip(names, pipeline.execute(), strict=True) if state]

    def breakers(self, look_at: int = 2_000) -> tuple[dict[str, tuple[BreakerState, int]], int]:
        """Return the breaker's state and the jobs in flight by resource, and how many resources there are.

        ``look_at``: so many are read at most, in an order that stays while none comes or goes.
        """
        known = self.key("resources")
        pipeline = self.client.pipeline(transaction=False)
        pipeline.scard(known).sscan(known, 0, count=look_at)
        total, (_, found) = pipeline.execute()
        names = sorted(name.decode() for name in found)[:look_at]
        for name in names:
            pipeline.hmget(self.key("resource", resource=name), "state", "n")
        read = zip(names, pipeline.execute() if names else [], strict=True)
        looks = {name: (_STATES[(state or b"").decode()], int(n or 0)) for name, (state, n) in read}
        return looks, int(total)

    def panic(
        self, resource: str, *, until_ms: int = 0, by: str = "", reason: str = "", now_ms: int | None = None
    ) -> None:
        """Open the breaker of ``resource`` until ``until_ms`` (0: :meth:`panic_off`); its jobs wait."""
        self._run("panic", at(now_ms), "on", resource, until_ms, by or "operator", reason)

    def panic_off(self, resource: str, now_ms: int | None = None) -> bool:
        """Close the breaker, whoever opened it; returns whether it was open or half open."""
        return bool(self._run("panic", at(now_ms), "off", resource, 0, "", "") == b"closed")

    def resource_snapshot(self, resource: str, now_ms: int | None = None) -> ResourceSnapshot:
        """Return the live picture of ``resource``."""
        reply = replies.words(self._run("resource", at(now_ms), resource))
        got = dict(zip(reply[::2], reply[1::2], strict=True))
        number = {field: float(text) for field, text in got.items() if field in _NUMBERS and text}
        return ResourceSnapshot(
            resource=resource,
            now_ms=int(number["now_ms"]),
            in_flight=int(number["in_flight"]),
            gate=got["gate"] or None,
            closed_until_ms=int(number["closed_until_ms"]) if got["closed_until_ms"] else None,
            paused=replies.pause(got["pause"]) if got["pause"] else None,
            rate_left=int(number["rate_left"]) if got.get("rate_left") else None,
            limits=unpack_resource(got["settings"]) if got["settings"] else None,
            breaker=_STATES[got["state"]],
            forced=got["state"] != "" and got["by"] != "",
            since_ms=int(number["since_ms"]),
            until_ms=int(number["until_ms"]),
            reason=got["reason"],
            by=got["by"],
            opens=int(number["opens"]),
            good=number["good"],
            bad=number["bad"],
            probes_out=int(number["probes_out"]),
            probes_passed=int(number["probes_passed"]),
            waiting=_by_queue(got, "waiting:"),
            orgs=_by_queue(got, "orgs:"),
        )

    def resource_orgs(self, queue: str, resource: str, limit: int = 20) -> dict[str, int]:
        """Return the ready jobs of the ``limit`` orgs that come first for ``resource`` in ``queue``."""
        ring = self.key("ring", queue=queue, resource=resource)
        orgs = [name.decode() for name in self.client.zrange(ring, 0, limit - 1)]
        pipeline = self.client.pipeline(transaction=False)
        for org in orgs:
            pipeline.zcard(self.key("lane", queue=queue, resource=resource, org=org))
        return dict(zip(orgs, pipeline.execute(), strict=True)) if orgs else {}


_NUMBERS = frozenset(
    {
        *("now_ms", "in_flight", "closed_until_ms", "rate_left", "since_ms", "until_ms", "opens"),
        *("good", "bad", "probes_out", "probes_passed"),
    }
)


def _by_queue(got: Mapping[str, str], start: str) -> dict[str, int]:
    return {
        field.removeprefix(start): int(float(text)) for field, text in got.items() if field.startswith(start)
    }
