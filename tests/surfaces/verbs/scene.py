"""What the verbs are tried on: a broker and a database that are the same again for each surface."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from celery import Celery

from queueops.engine.store import Store
from queueops.engine.types import Leased
from queueops.ops import dead_letters
from tests.support import letters, site
from tests.support.valkey import Valkey

_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d[\d:.+Z]*( UTC)?")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{16}\b")
_LIMITS = ("org", "queue", "weight", "rpm", "burst", "max_in_flight", "share", "paused")


@dataclass
class Scene:
    """A broker, a database, and the names of what a verb's `prepare` has made in them."""

    app: Celery
    valkey: Valkey
    store: Store
    names: dict[str, str] = field(default_factory=dict)

    def clear(self) -> None:
        """Empty both."""
        self.valkey.client().flushall()
        site.empty()
        self.names = {}

    # What a verb finds

    def waiting(self, count: int = 1, queue: str = "bulk", **options: Any) -> None:
        """Jobs that wait; the first is called JOB."""
        ids = [letters.publish(self.app, number, queue=queue, **options) for number in range(count)]
        self.names.setdefault("JOB", ids[0])

    def running(self, queue: str = "bulk") -> Leased:
        """A job that a worker has which nobody can reach; it is called JOB."""
        self.waiting(queue=queue)
        return letters.claim(self.store, queue)

    def dead(self, count: int = 1, queue: str = "bulk") -> None:
        """Dead letters; the first is called LETTER."""
        from queueops.models import DeadLetter

        for number in range(count):
            letters.publish(self.app, number, queue=queue, org="acme")
            letters.die(self.store, queue)
        dead_letters.collect_all(self.store)
        first = DeadLetter.objects.order_by("pk").first()
        assert first is not None
        self.names |= {"LETTER": str(first.pk), "FINGERPRINT": first.fingerprint}

    # What it leaves

    def picture(self) -> dict[str, Any]:
        """All that the surfaces must leave the same: jobs, pauses, limits, letters, resources, schedules."""
        from django_celery_beat.models import PeriodicTask
        from django_celery_results.models import TaskResult

        from queueops.models import DeadLetter, OrgLimit, Resource

        jobs: dict[str, str] = {}
        for queue in self.store.queues():
            rows, _ = self.store.job_page(queue=queue)
            jobs |= {row.task_id: f"{row.state} in {queue}" for row in rows}
        return {
            "jobs": sorted(jobs.values()),
            "paused": {
                queue: (sorted(self.store.paused(queue)), sorted(self.store.paused_tasks(queue)))
                for queue in self.store.queues()
            },
            "panic": {name: self.store.resource_snapshot(name).gate for name in self.store.resources()},
            "limits": sorted(map(str, OrgLimit.objects.values_list(*_LIMITS))),
            "resources": sorted(map(str, Resource.objects.values_list("name", *Resource.FIELDS))),
            "letters": sorted(DeadLetter.objects.values_list("status", flat=True)),
            "results": TaskResult.objects.count(),
            "schedules": sorted(PeriodicTask.objects.values_list("name", "enabled", "task")),
        }

    def audit(self) -> list[tuple[str, str, str, int]]:
        """Verb, target, parameters and count of each entry; times and ids by what they are called."""
        from queueops.models import AuditEntry

        return [
            (entry.verb, self._named(entry.target), self._told(entry.parameters), entry.result_count)
            for entry in AuditEntry.objects.order_by("pk")
        ]

    def forget_audit(self) -> None:
        """What `prepare` has done is not what a surface did."""
        from queueops.models import AuditEntry

        AuditEntry.objects.all().delete()

    def _named(self, text: str) -> str:
        for name, value in self.names.items():
            text = re.sub(rf"\b{re.escape(value)}\b", name, text)
        return _TIME.sub("TIME", text)

    @staticmethod
    def _told(parameters: object) -> str:
        return _ID.sub("ID", _TIME.sub("TIME", str(parameters)))
