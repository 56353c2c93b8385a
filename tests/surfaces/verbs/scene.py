"""What the verbs are tried on: a broker and a database that are the same again for each surface."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
from celery import Celery

from queueops.api import letters as letter_routes
from queueops.api import system as system_routes
from queueops.dashboard import letter_actions
from queueops.engine.store import Store
from queueops.engine.types import Leased, WorkerInfo
from queueops.middleware import worker_control
from queueops.ops import dead_letters, leases, stopping, worker_answers
from tests.support import letters, site
from tests.support.polling import eventually
from tests.support.stack import Stack
from tests.support.valkey import Valkey
from tests.support.worker import Worker

_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d[\d:.+Z]*( UTC)?")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{16}\b")
#: Of a line of exported letters, what is the same each time that the letters are made anew.
_OF_A_LINE = ("format", "queue", "org", "task", "status", "error_class", "args")
#: How long a real worker has to answer, its jobs to end, and the broker's pulse to come back where a surface
#: took longer than it lasts: enough on the busiest machine.
_PATIENCE = (
    (worker_answers, "ANSWER_SECONDS"),
    (stopping, "ANSWER_SECONDS"),
    (leases, "STOP_SECONDS"),
    (letter_actions, "CANARY_SECONDS"),
    (letter_routes, "_WORK_SECONDS"),
    (system_routes, "_RECOVER_SECONDS"),
)
_LIMITS = ("org", "queue", "weight", "rpm", "burst", "max_in_flight", "share", "paused")


@dataclass
class Scene:
    """A broker, a database, and the names of what a verb's `prepare` has made in them.

    Attributes:
        file: letters as JSON lines, which `prepare` has written, or a surface.
        worker: a real one, where a verb has needed it.
        children: its processes before the verb; `renewed`: whether it has others since.
    """

    app: Celery
    valkey: Valkey
    store: Store
    stack: Stack
    monkeypatch: pytest.MonkeyPatch
    names: dict[str, str] = field(default_factory=dict)
    file: str = ""
    worker: Worker | None = None
    children: set[int] = field(default_factory=set)
    renewed: bool = False

    def clear(self) -> None:
        """Empty both."""
        self.valkey.client().flushall()
        site.empty()
        self.names, self.file, self.renewed = {}, "", False

    # What a verb finds

    def waiting(self, count: int = 1, queue: str = "bulk", **options: Any) -> None:
        """Jobs that wait; the first is called JOB."""
        ids = [letters.publish(self.app, number, queue=queue, **options) for number in range(count)]
        self.names.setdefault("JOB", ids[0])

    def running(self, queue: str = "bulk") -> Leased:
        """A job that a worker has which nobody can reach; it is called JOB."""
        self.waiting(queue=queue)
        return letters.claim(self.store, queue)

    def expired(self, queue: str = "bulk") -> None:
        """A job whose worker has gone without a word, while others went on; it is called JOB."""
        self._be_patient()
        now = self.store.now_ms()
        for ago in range(2 * self.store.lease_ms, 0, -1_000):
            # The broker's pulse, by which it knows that the living could renew.
            self.store.reap(1, now_ms=now - ago)
        self.running(queue)
        holders = self.store.key("holders")
        [holder] = self.store.client.zrange(holders, 0, -1)
        self.store.client.zadd(holders, {holder: now - 1})

    def dead(self, count: int = 1, queue: str = "bulk", task: str = "shop.deliver") -> None:
        """Dead letters; the first is called LETTER."""
        from queueops.models import DeadLetter

        for number in range(count):
            letters.publish(self.app, f"job-{number}", queue=queue, org="acme", task=task)
            letters.die(self.store, queue)
        dead_letters.collect_all(self.store)
        first = DeadLetter.objects.order_by("pk").first()
        assert first is not None
        self.names |= {"LETTER": str(first.pk), "FINGERPRINT": first.fingerprint}

    def at_work(self, *, quiet: bool = False) -> None:
        """A real worker that takes jobs, or is quiet; it is called WORKER. It stays for the next surface."""
        self._be_patient()
        if self.worker is None or not self.worker.alive():
            self.worker = self.stack.start_worker(concurrency=1).wait_ready(within=120)
        node = self.worker.hostname
        self.names["WORKER"] = node
        # It registers again after the broker was emptied, and subscribes a moment after it is ready.
        eventually(lambda: self._registered() is not None, within=60, what="the worker is registered")
        control = self.stack.app.control
        eventually(lambda: control.ping([node], timeout=1), within=60, what="a pong")
        self.hush(quiet)
        self.children = eventually(self.processes, within=60, what="its children")

    def _be_patient(self) -> None:
        for home, name in _PATIENCE:
            self.monkeypatch.setattr(home, name, 120.0)

    def hush(self, quiet: bool = True) -> None:
        """Make the worker quiet, or take that back."""
        node = self.names["WORKER"]
        self.stack.app.control.broadcast(
            worker_control.QUIET, arguments={"on": quiet}, destination=[node], reply=True, timeout=20
        )
        self.wait_quiet(quiet)

    def _registered(self) -> WorkerInfo | None:
        known = [one for one in self.store.workers() if one.node == self.names["WORKER"]]
        return known[0] if known else None

    def stuck(self) -> None:
        """A job that a real worker runs for long, and no other one after it; it is called JOB."""
        if self.worker is not None:
            # It may still run the job of the surface before, with all the hands that it has.
            self.worker.kill()
        self.at_work()
        job = f"stuck-{uuid.uuid4()}"
        self.names["JOB"] = str(self.stack.enqueue("hold", job, "never", 3_600.0, org="acme").id)
        eventually(lambda: self.stack.snapshot().leased == 1, within=60, what="the worker has the job")
        self.stack.wait_started(job, within=60)
        self.hush()

    def wait_quiet(self, quiet: bool = True) -> None:
        """Wait until the broker knows that the worker is quiet, or is not."""

        def told() -> bool:
            found = self._registered()
            return found is not None and found.quiet == quiet

        eventually(told, within=60, what="the worker has told it")

    def wait_gone(self) -> None:
        """Wait until the worker has ended, by itself and clean."""
        assert self.worker is not None
        assert self.worker.wait_exit(within=60) == 0

    def wait_renewed(self) -> None:
        """Wait until the worker has other children than before."""

        def renewed() -> bool:
            found = self.processes()
            return bool(found) and not found & self.children

        eventually(renewed, within=60, what="new children")
        self.renewed = True

    def processes(self) -> set[int]:
        """The children of the worker."""
        node = self.names["WORKER"]
        stats = self.stack.app.control.inspect([node], timeout=3).stats() or {}
        return set(stats[node]["pool"]["processes"]) if node in stats else set()

    # What it leaves

    def picture(self) -> dict[str, Any]:
        """All that the surfaces must leave the same, times and ids left out."""
        from django_celery_beat.models import PeriodicTask
        from django_celery_results.models import TaskResult

        from queueops.models import ApiToken, DeadLetter, OrgLimit, OutboxEntry, Resource

        jobs: dict[str, str] = {}
        for queue in self.store.queues():
            rows, _ = self.store.job_page(queue=queue)
            jobs |= {row.task_id: f"{row.state} in {queue}" for row in rows}
        scales, _ = self.store.scales(sorted(self.store.queues()))
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
            "workers": [(one.quiet, one.stopping, self.renewed) for one in self.store.workers()],
            "scaled": {queue: one and one.count for queue, (one, _) in scales.items()},
            "depths": {queue: self.store.client.llen(queue) for queue in self.store.queues()},
            "outbox": sorted(OutboxEntry.objects.values_list("task", "error")),
            "tokens": [
                (one.user.get_username(), one.name, one.scope, one.revoked_at is not None)
                for one in ApiToken.objects.select_related("user")
            ],
            "file": [{name: line[name] for name in _OF_A_LINE} for line in self.lines()],
        }

    def lines(self) -> list[dict[str, Any]]:
        """The letters of the file."""
        return [json.loads(line) for line in self.file.splitlines()]

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

    def _told(self, parameters: object) -> str:
        told = _ID.sub("ID", _TIME.sub("TIME", str(parameters)))
        return told.replace(f"'letters': [{self.names.get('LETTER')}]", "'letters': [LETTER]")
