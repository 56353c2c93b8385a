"""The verbs of workers, asked of real ones: what they answer, who may, and what the audit log says."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied

from queueops.engine.rules.envelope import NewJob
from queueops.engine.rules.gates import Limits
from queueops.engine.store import Store
from queueops.errors import LimitInvalid, UnknownQueue, UnknownWorker
from queueops.models import AuditEntry
from queueops.ops import broker, scaling, worker_answers, workers
from queueops.ops.permissions import Actor
from tests.support.polling import eventually
from tests.support.stack import Stack

ME = Actor.shell("maria")
NOBODY = Actor.of(AnonymousUser(), AuditEntry.Surface.API)


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as found:
        yield found


def register(store: Store, number: int, *, slots: int = 4, queue: str = "bulk", **told: object) -> None:
    """A worker's registration, as its lease thread writes it."""
    info = {
        "hostname": f"host-{number}",
        "node": f"w{number:02d}@tests",
        "pid": 100 + number,
        "queues": [queue],
        "slots": slots,
        "size": slots,
        "version": "0",
        "started_ms": store.now_ms() - 60_000,
        "lease_ms": store.lease_ms,
        "pool": "prefork",
        **told,
    }
    store.renew(f"host-{number}:{number}:x", {}, answered=0, registration=info)


def fill(store: Store, number: int, jobs: int) -> None:
    """Let the worker of that number claim jobs."""
    made = [
        NewJob(tag=f"{number:03d}-{n:03d}", org=f"org-{n}", task="t", task_id=f"{number}-{n}", message="{}")
        for n in range(jobs)
    ]
    store.enqueue("bulk", made)
    assert len(store.claim(["bulk"], jobs, 0, f"host-{number}:{number}:x", 1).jobs) == jobs


def test_what_is_listed_of_a_worker(app: Celery, store: Store) -> None:
    register(store, 1, memory_bytes=1 << 20, processed=7, quiet=False, bounds=[2, 8])
    fill(store, 1, 3)
    register(store, 2, slots=0, size=4, quiet=True)
    register(store, 3, queue="critical", pool="gevent")
    [first, second] = workers.listed(ME, "bulk")
    assert (first.name, first.pool, first.slots, first.queues) == ("w01@tests", "prefork", 4, ("bulk",))
    assert (first.memory_bytes, first.processed, first.jobs, first.autoscale) == (1 << 20, 7, 3, (2, 8))
    assert sorted(job.task_id for job in first.current) == ["1-0", "1-1", "1-2"]
    assert {(job.task, job.queue) for job in first.current} == {("t", "bulk")}
    assert sorted(job.org for job in first.current) == ["org-0", "org-1", "org-2"]
    assert first.last_beat_at is not None
    assert abs((datetime.now(UTC) - first.last_beat_at).total_seconds()) < 30
    assert (second.quiet, second.slots, second.jobs, second.current) == (True, 4, 0, ())
    assert [row.name for row in workers.listed(ME)] == ["w01@tests", "w02@tests", "w03@tests"]
    assert workers.listed(ME, "standard") == []
    with pytest.raises(UnknownQueue):
        workers.listed(ME, "nowhere")


def test_a_worker_that_is_gone_is_not_listed_though_nobody_has_struck_it_off(
    app: Celery, store: Store
) -> None:
    register(store, 1)
    store.client.zadd(store.key("holders"), {"host-1:1:x": store.now_ms() - 5_000})
    assert [one.lapsed for one in store.workers()] == [True]
    assert workers.listed(ME) == []
    assert scaling.wanted(ME, "bulk")[0].workers_now == 0


def test_fifty_busy_workers_are_listed_by_a_few_requests(app: Celery, store: Store) -> None:
    for number in range(50):
        register(store, number)
        fill(store, number, 12)
    before = store.client.info("stats")["total_commands_processed"]
    rows = workers.listed(ME, current=5)
    commands = store.client.info("stats")["total_commands_processed"] - before
    assert len(rows) == 50
    assert all((row.jobs, len(row.current)) == (12, 5) for row in rows)
    # Two a worker, in three pipelines, and those that open the connection.
    assert commands < 150


def test_a_rule_says_how_many_slots_a_queue_wants(app: Celery, store: Store) -> None:
    [one] = scaling.wanted(ME, "bulk")
    assert (one.workers_now, one.slots_now, one.wanted, one.held_by) == (0, 0, 5, "")
    register(store, 1, slots=8)
    [one] = scaling.wanted(ME, "bulk")
    assert (one.slots_now, one.wanted, one.reason) == (8, 7, "0 jobs are ready, fewer than 10")
    store.enqueue(
        "bulk", [NewJob(tag=f"{n:03d}", org="a", task="t", task_id=str(n), message="{}") for n in range(60)]
    )
    [one] = scaling.wanted(ME, "bulk")
    assert (one.wanted, one.reason) == (10, "60 jobs are ready, more than 50")
    store.set_limits("bulk", {"a": Limits(rpm=1)})
    store.claim(["bulk"], 1, 0, "by-hand", 1)
    [one] = scaling.wanted(ME, "bulk")
    assert (one.wanted, one.reason) == (7, "0 of 59 ready jobs could start, fewer than 10")
    store.set_limits("bulk", {"a": Limits(max_in_flight=1)})
    store.claim(["bulk"], 1, 0, "by-hand", 2)
    [one] = scaling.wanted(ME, "bulk")
    told = "0 of 59 ready jobs could start; 59 wait for jobs of their org or resource to end"
    assert (one.wanted, one.reason) == (8, told)
    store.pause("bulk")
    [one] = scaling.wanted(ME, "bulk")
    assert (one.wanted, one.reason) == (8, "the queue is paused")
    assert {one.queue for one in scaling.wanted(ME)} >= {"bulk", "critical", "standard"}
    with pytest.raises(UnknownQueue):
        scaling.wanted(ME, "nowhere")


def test_without_a_worker_a_scale_says_which_command_starts_one(app: Celery) -> None:
    done = scaling.scale(ME, "bulk", 3)
    assert (done.before, done.after, done.by_worker) == (0, 0, {})
    assert "celery -A site worker -Q bulk -c 3 -n bulk-" in done.told
    [one] = scaling.wanted(ME, "bulk")
    assert (one.wanted, one.held_by, one.held_until) == (3, "maria", None)
    assert scaling.unscale(ME, "bulk")
    assert not scaling.unscale(ME, "bulk")
    later = datetime.now(UTC) + timedelta(hours=2)
    scaling.scale(ME, "bulk", 4, until=later)
    [one] = scaling.wanted(ME, "bulk")
    assert one.held_until is not None
    assert abs((one.held_until - later).total_seconds()) < 1
    entries = AuditEntry.objects.order_by("pk").values_list("verb", "target", "result_count")
    assert list(entries) == [
        ("scale", "queue bulk", 0),
        ("unscale", "queue bulk", 1),
        ("unscale", "queue bulk", 0),
        ("scale", "queue bulk", 0),
    ]
    for count, until in ((0, None), (2, datetime.now(UTC) - timedelta(minutes=1))):
        with pytest.raises(LimitInvalid):
            scaling.scale(ME, "bulk", count, until=until)


def test_a_worker_that_nobody_knows(app: Celery, store: Store) -> None:
    register(store, 1)
    for verb in (workers.quiet, workers.unquiet, workers.stop, workers.restart):
        with pytest.raises(UnknownWorker, match="Registered workers: w01@tests"):
            verb(ME, ["w01@tests", "w09@tests"])
    assert not AuditEntry.objects.exists(), "nobody was asked"


def test_who_may_not(app: Celery) -> None:
    for look in (workers.listed, scaling.wanted):
        with pytest.raises(PermissionDenied, match="view_operations"):
            look(NOBODY)
    for verb in (workers.quiet, workers.unquiet, workers.stop, workers.restart):
        with pytest.raises(PermissionDenied, match="operate_worker"):
            verb(NOBODY, "w1@tests")
    for change in (lambda: scaling.scale(NOBODY, "bulk", 2), lambda: scaling.unscale(NOBODY, "bulk")):
        with pytest.raises(PermissionDenied, match="operate_worker"):
            change()
    assert not AuditEntry.objects.exists()


def test_the_life_of_a_real_worker(app: Celery, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = worker_answers.ANSWER_SECONDS
    # On a loaded machine a worker may take longer to answer than an operator is asked to wait.
    monkeypatch.setattr(worker_answers, "ANSWER_SECONDS", 20.0)
    worker = stack.worker(pool="threads", concurrency=2)
    name = worker.hostname
    stack.enqueue("hold", "job", "door", org="acme")
    stack.wait_started("job")

    def row() -> workers.WorkerRow:
        [found] = workers.listed(ME)
        return found

    eventually(lambda: row().memory_bytes, within=20, what="it says how much memory it takes")
    assert (row().name, row().pid, row().pool, row().slots) == (name, worker.pid, "threads", 2)
    assert [(one.task, one.org) for one in row().current] == [("ledger.hold", "acme")]

    # A worker is ready a moment before it has subscribed to remote control.
    eventually(lambda: workers.quiet(ME, name)[0].word in ("quiet", "unchanged"), within=30)
    eventually(lambda: row().quiet, within=10)
    [again] = workers.quiet(ME, [row().holder])
    assert (again.name, again.word) == (name, "unchanged")
    [back] = workers.unquiet(ME, name)
    assert (back.word, back.told) == ("unquiet", "It takes jobs again.")
    eventually(lambda: not row().quiet, within=10)

    done = scaling.scale(ME, "standard", 5)
    assert (done.before, done.after, done.by_worker) == (2, 5, {name: 5})
    assert done.told == "standard has 5 slots on 1 worker."
    eventually(lambda: row().slots == 5, within=10)

    [cannot] = workers.restart(ME, name)
    assert cannot.word == "cannot"
    assert f"-Q standard --pool threads -c 5 -n {name}" in cannot.told

    worker.send(signal.SIGSTOP)
    monkeypatch.setattr(worker_answers, "ANSWER_SECONDS", shown)
    [silent] = workers.quiet(ME, name)
    assert (silent.word, silent.told) == ("silent", "It did not answer within 2 s.")
    worker.send(signal.SIGCONT)
    monkeypatch.setattr(worker_answers, "ANSWER_SECONDS", 20.0)

    eventually(lambda: workers.stop(ME, name)[0].word == "stopping", within=30)
    stack.ledger.open("door")
    assert worker.wait_exit(within=30) == 0
    eventually(lambda: not workers.listed(ME), within=10)
    last = AuditEntry.objects.order_by("-pk")[0]
    assert (last.verb, last.target, last.who, last.parameters, last.result_count) == (
        "stop",
        f"worker {name}",
        "maria",
        {"done": "stopping"},
        1,
    )
