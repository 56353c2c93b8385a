"""What holds after each step."""

from __future__ import annotations

from typing import Any

from hypothesis.stateful import invariant

from tests.engine.invariants import check
from tests.engine.machine.base import QUEUES, Base


class Always(Base):
    """Invariants."""

    @invariant()
    def all_jobs_are_where_they_should_be(self) -> None:
        keys = self.world.keyspace()
        found = places(keys)
        for task_id, job in list(self.model.live.items()):
            state = found.pop(task_id, None)
            if state is None and job.doomed:
                self.model.end(task_id, "cancelled", self.now)
                continue
            assert state is not None, f"{task_id} was lost"
            assert state in job.states(self.now), f"{task_id} is {state}"
            if state != "blocked":
                job.loose = False
        assert not found, f"jobs that should be gone: {found}"
        dead = set(keys.get("qo1:graves", {}))
        assert dead == set(self.model.dead), "graves"

    @invariant()
    def all_keys_agree(self) -> None:
        check(self.world, late_ms=self.gates.late_ms)

    @invariant()
    def the_breaker_is_as_it_should_be(self) -> None:
        self.breaker_does_what_it_should()

    @invariant()
    def time_never_falls(self) -> None:
        for queue in QUEUES:
            virtual = self.world.queue(queue).virtual_time_ms
            assert virtual >= self.virtual[queue], "the queue's time ran back"
            self.virtual[queue] = virtual


def places(keys: dict[str, Any]) -> dict[str, str]:
    """Where each task of the index is."""
    where: dict[tuple[str, str], str] = {}
    for key, value in keys.items():
        family, _, rest = key.removeprefix("qo1:").partition(":")
        queue = rest.split(":")[0]
        if family in ("lane", "aside"):
            where.update({(queue, tag): "ready" for tag in value})
        elif family in ("scheduled", "blocked"):
            where.update({(queue, tag): family for tag in value})
        elif family == "held":
            for record in value.values():
                at, tag = record.split("\t")[:2]
                where[at, tag] = "leased"
    found = {}
    for task_id, entry in keys.get("qo1:ids", {}).items():
        queue, tag = entry.split("\t")[:2]
        found[task_id] = where.get((queue, tag), "nowhere")
    return found
