"""A busy afternoon: an hour of history, a backlog of many orgs, workers, a throttled org, a panic.

The engine is told the time, so the hour is made in seconds.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from queueops.engine.rules.envelope import NewJob
from queueops.engine.store import Store
from queueops.engine.types import Settlement
from queueops.middleware import dead_letter
from queueops.ops import broker, collector, limits, orgs, panic
from queueops.ops.permissions import Actor
from tests.browser import scene
from tests.support.factories import new_message

MINUTE = 60_000
MARIA = Actor.shell("maria")
ORGS = ("acme", "Codertocat", "octocoders", "globex", "initech", "hooli", "umbrella", "wayne-corp", "stark")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What goes through a queue: jobs a minute, seconds a run, the part that fails, what waits now."""

    queue: str
    a_minute: int
    tasks: tuple[str, ...]
    run_seconds: float
    failing: float
    waiting: int
    resource: str = ""


TRAFFIC = (
    Traffic("critical", 14, ("tasks.payments.capture", "tasks.notifications.sms"), 0.18, 0.0, 3),
    Traffic("standard", 34, ("tasks.trust.score", "tasks.geo.locate", "tasks.cae.sign"), 0.9, 0.004, 64),
    Traffic("bulk", 9, ("tasks.exports.export", "tasks.analytics.roll_up"), 6.5, 0.02, 1430),
    Traffic("webhooks", 22, ("tasks.webhooks.deliver",), 0.35, 0.07, 212, "whatsapp"),
)
#: Name, queues, slots, jobs in hand.
WORKERS = (
    ("critical-1@app-1", ("critical",), 4, 1),
    ("all-1@app-1", ("critical", "standard", "webhooks"), 8, 6),
    ("all-2@app-2", ("critical", "standard", "webhooks"), 8, 5),
    ("bulk-1@app-3", ("bulk",), 4, 2),
)


def build(*, minutes: int = 59) -> None:
    """Make the scene on the broker of the current app and in the database."""
    chance = random.Random(7)
    with broker.store() as store:
        limits.set_limit(MARIA, "globex", "bulk", {"max_in_flight": 1, "rpm": 60, "burst": 5})
        limits.throttle(
            MARIA, "hooli", "standard", 1, timezone.now() + timedelta(hours=1), "floods us since noon"
        )
        orgs.pause(MARIA, "umbrella", "bulk", reason="invoice unpaid")
        _history(store, chance, minutes)
        collector.collect_all(store)
        scene.spread(chance)
        _stuck(store, chance)
        _backlog(store, chance)
        _workers(store, chance)
    panic.on(
        MARIA, "whatsapp", until=timezone.now() + timedelta(minutes=40), reason="their status page is red"
    )


def go_on(chance: random.Random) -> None:
    """Let a moment pass: some jobs of bulk end, and fewer come."""
    traffic = TRAFFIC[2]
    with broker.store() as store:
        now = store.now_ms()
        claimed = store.claim(["bulk"], chance.randrange(4, 18), 0, f"past-{now}", 1, now_ms=now)
        store.settle([Settlement(job.token, "succeeded", 700.0) for job in claimed.jobs])
        _enqueue(store, chance, traffic, chance.randrange(0, 7), now)


def _history(store: Store, chance: random.Random, minutes: int) -> None:
    now = store.now_ms()
    for ago in range(minutes, 0, -1):
        at = now - ago * MINUTE
        for number, traffic in enumerate(TRAFFIC):
            swing = 1 + 0.45 * math.sin((minutes - ago) / 9 + number) + chance.uniform(-0.15, 0.15)
            count = max(1, round(traffic.a_minute * swing))
            _enqueue(store, chance, traffic, count, at - chance.randrange(200, 4_000))
            claimed = store.claim(
                [traffic.queue], count, 0, f"past-{traffic.queue}", minutes - ago, now_ms=at
            )
            ends = [_ended(chance, traffic, job.token, job.task) for job in claimed.jobs]
            store.settle(ends, now_ms=at + 5_000)


def _ended(chance: random.Random, traffic: Traffic, token: str, task: str) -> Settlement:
    run_ms = traffic.run_seconds * 1000 * chance.lognormvariate(0, 0.5)
    deaths = [death for death in scene.DEATHS if death.queue == traffic.queue]
    if chance.random() >= traffic.failing or not deaths:
        return Settlement(token, "succeeded", run_ms)
    [death] = chance.choices(deaths, [death.count for death in deaths])
    told = dead_letter.detail(
        death.reason,
        error=type(death.error, (Exception,), {})(death.message),
        traceback=death.traceback,
        worker="all-1@app-1",
        run_ms=run_ms,
        attempts=[
            {"n": n, "at": 0, "error": death.error, "message": death.message}
            for n in range(1, death.attempts)
        ],
        attempt=death.attempts,
    )
    return Settlement(token, "dead", run_ms, told)


def _backlog(store: Store, chance: random.Random) -> None:
    now = store.now_ms()
    for traffic in TRAFFIC:
        _enqueue(store, chance, traffic, traffic.waiting, now - 20_000, resource=traffic.resource)
        later = [
            _job(chance, traffic, now, due_ms=now + chance.randrange(60_000, 3_600_000)) for _ in range(9)
        ]
        store.enqueue(traffic.queue, later)


def _enqueue(
    store: Store, chance: random.Random, traffic: Traffic, count: int, at: int, *, resource: str = ""
) -> None:
    jobs = [_job(chance, traffic, at, resource=resource) for _ in range(count)]
    store.enqueue(traffic.queue, jobs, now_ms=at)


def _job(
    chance: random.Random, traffic: Traffic, at: int, *, org: str = "", due_ms: int = 0, resource: str = ""
) -> NewJob:
    task = chance.choice(traffic.tasks)
    org = org or chance.choices(ORGS, range(len(ORGS), 0, -1))[0]
    task_id = f"{chance.getrandbits(128):032x}"
    message = new_message(
        task, kwargs={"org": org, "number": 17}, task_id=task_id, org=org, queue=traffic.queue
    )
    return NewJob(task_id, task_id, task, org, message, resource=resource, due_ms=due_ms, first_ms=at)


def beat() -> None:
    """Let the workers renew, as living ones do every few seconds."""
    with broker.store() as store:
        now = store.now_ms()
        for number, (name, queues, slots, _) in enumerate(WORKERS):
            registration = _registration(name, queues, slots, number, now)
            store.renew(f"{name}:{4100 + number}", {}, answered=0, registration=registration)


def _workers(store: Store, chance: random.Random) -> None:
    beat()
    now = store.now_ms()
    for number, (name, queues, _, busy) in enumerate(WORKERS):
        _hold(store, f"{name}:{4100 + number}", queues, busy, now - chance.randrange(1_000, 9_000), number=2)


def _stuck(store: Store, chance: random.Random) -> None:
    """A job that has run for too long in the hands of the last worker."""
    name, queues, *_ = WORKERS[-1]
    at = store.now_ms() - 17 * MINUTE
    store.enqueue("bulk", [_job(chance, TRAFFIC[2], at - 2_000, org="acme")], now_ms=at - 2_000)
    _hold(store, f"{name}:{4099 + len(WORKERS)}", queues, 1, at, number=1)


def _hold(store: Store, holder: str, queues: Sequence[str], busy: int, at: int, *, number: int) -> None:
    claim = store.claim(queues, busy, 0, holder, number, now_ms=at)
    store.renew(holder, {job.token: 1_000.0 for job in claim.jobs}, answered=0)


def _registration(name: str, queues: Sequence[str], slots: int, number: int, now: int) -> dict[str, object]:
    return {
        "hostname": name.partition("@")[2],
        "pid": 4100 + number,
        "queues": list(queues),
        "slots": slots,
        "size": slots,
        "version": "0.1.0",
        "started_ms": now - (number + 3) * 50 * MINUTE,
        "node": name,
        "pool": "prefork" if number else "threads",
        "memory_bytes": (190 + 60 * number) * 2**20,
        "processed": 18_240 + 911 * number,
        "lease_ms": 30_000,
    }
