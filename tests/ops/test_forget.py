"""An org is off-boarded: nothing of it is left, and nothing of the others is touched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from django_celery_results.models import TaskResult

from queueops.engine.store import Store
from queueops.engine.types import Settlement
from queueops.errors import BrokerUnavailable, InvalidCursor, InvalidOrg, OrgRefused
from queueops.models import AuditEntry, DeadLetter, OrgLimit, OutboxEntry
from queueops.ops import audit, broker, limits, orgs, stats, status
from queueops.ops.forgotten_names import Mask
from queueops.ops.permissions import Actor
from tests.support import letters, site
from tests.support.ports import free_port

ME = Actor.shell("maria")


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened
    for model in (TaskResult, PeriodicTask, IntervalSchedule):
        model._default_manager.all().delete()


def publish_some(app: Celery, store: Store, org: str) -> None:
    """Jobs of the org wherever a job can be, except running."""
    parent = letters.publish(app, queue="critical", org=org, countdown=1000)
    letters.publish(app, queue="bulk", org=org, after=[parent])
    letters.publish(app, queue="bulk", org=org, resource="mail")
    for _ in range(3):
        letters.publish(app, queue="bulk", org=org)
    store.pause("standard", task="shop.paused")
    letters.publish(app, task="shop.paused", org=org)
    assert not store.claim(["standard"], 1, 0, "looker", 1).jobs


def rows_of(org: str) -> None:
    """What the database knows of the org."""
    letters.row(org=org).save()
    letters.row(org=org, status="discarded").save()
    limits.set_limit(ME, org, "bulk", {"weight": 2})
    orgs.pause(ME, org)
    OutboxEntry(queue="bulk", org=org, task="shop.deliver", task_id=org, head={}, message="{}").save()
    audit.record(ME, "note", "2 letters", {"filter": {"org": org, "queue": org}, "told": [f"by org {org}."]})
    TaskResult(
        task_id=f"result-{org}", task_kwargs=repr(repr({"org": org})), result=f'"\\"{org}\\" {org}s"'
    ).save()
    every = IntervalSchedule.objects.get_or_create(every=10, period="days")[0]
    headers = f'{{"queueops": {{"org": "{org}"}}}}'
    PeriodicTask(name=f"nightly {org}", task="shop.nightly", interval=every, headers=headers).save()


def test_nothing_is_left_of_it_and_all_of_the_others(app: Celery, store: Store) -> None:
    letters.publish(app, queue="webhooks", org="acme")
    running = letters.claim(store, "webhooks")
    for org in ("acme", "acme-2"):
        publish_some(app, store, org)
        rows_of(org)
    before = status.status(ME).total
    seen: list[tuple[str, int]] = []

    def progress(field: str, count: int) -> None:
        seen.append((field, count))
        if field == "stopped" and count == 1 and store.in_flight():  # its worker stops it
            store.settle([Settlement(running.token, "cancelled")])

    would = orgs.forget(ME, "acme", dry_run=True)
    assert status.status(ME).total.by_status == before.by_status
    assert not AuditEntry.objects.filter(verb="forget").exists()
    done = orgs.forget(ME, "acme", progress=progress)

    word = Mask("acme").word
    assert (done.cancelled, done.stopped, done.running) == (would.cancelled, would.stopped, 0) == (8, 1, 0)
    assert (done.letters_purged, done.limits_removed, done.schedules_disabled) == (2, 2, 1)
    assert (done.results_masked, done.entries_masked, done.after) == (1, 3, "")
    assert (would.lines_masked, done.lines_masked) == (0, 1)  # of the run that was stopped
    done.lines_masked = 0
    assert (would.count, would.name) == (done.count, word)
    assert ("letters_purged", 2) in seen
    assert set(store.living([running.task_id])) == set()
    for model in (DeadLetter, OrgLimit, OutboxEntry):
        assert {row.org for row in model._default_manager.all()} == {"acme-2"}
    assert [row.name for row in PeriodicTask.objects.filter(enabled=True)] == ["nightly acme-2"]
    after = orgs.stats(ME, "acme-2")
    assert (after.ready + after.scheduled, after.letters) == (5, 1)
    assert orgs.stats(ME, "acme").ready == 0


def test_its_name_leaves_the_history(app: Celery, store: Store) -> None:
    for org in ("acme", "acme-2"):
        letters.publish(app, queue="bulk", org=org)
        letters.die(store, "bulk")
        for _ in range(300):  # beyond what is counted together, so that some stand among the slowest
            letters.publish(app, queue="bulk", org=org)
        jobs = store.claim(["bulk"], 300, 0, "w", 1).jobs
        store.settle(Settlement(job.token, "succeeded", 20.0 + at) for at, job in enumerate(jobs))
    before = stats.last_hour(["bulk"])["bulk"]

    would = orgs.forget(ME, "acme", dry_run=True)
    done = orgs.forget(ME, "acme")

    word = Mask("acme").word
    assert would.lines_masked == done.lines_masked >= 302
    assert {ended.org for ended in store.recent("settled", 1000, "bulk")} == {word, "acme-2"}
    assert {ended.org for ended in stats.failures("bulk")} == {word, "acme-2"}
    assert {ended.org for ended in stats.slow_jobs("bulk", limit=100)} <= {word, "acme-2"}
    assert stats.last_hour(["bulk"])["bulk"] == before
    assert orgs.forget(ME, "acme").lines_masked == 0


def test_its_name_is_masked_where_it_stands(app: Celery, store: Store) -> None:
    for org in ("acme", "acme-2"):
        rows_of(org)

    orgs.forget(ME, "acme")

    word = Mask("acme").word
    told = {entry.target: entry.parameters for entry in AuditEntry.objects.all()}
    assert told[f"org {word} in all queues"] == told["org acme-2 in all queues"]
    assert f"{word} in bulk" in told and "acme-2 in bulk" in told and "acme in bulk" not in told
    assert told[f"org {word}"] == {
        "cancelled": 1,
        "letters_purged": 2,
        "limits_removed": 2,
        "schedules_disabled": 1,
        "results_masked": 1,
        "entries_masked": 3,
    }
    notes = [entry.parameters for entry in AuditEntry.objects.filter(verb="note").order_by("id")]
    assert notes[0] == {"filter": {"org": word, "queue": "acme"}, "told": [f"by org {word}."]}
    assert notes[1] == {"filter": {"org": "acme-2", "queue": "acme-2"}, "told": ["by org acme-2."]}
    [result] = TaskResult.objects.filter(task_id="result-acme")
    assert (result.task_kwargs, result.result) == (repr(repr({"org": word})), f'"\\"{word}\\" acmes"')
    entry = AuditEntry.objects.get(verb="forget")
    assert (entry.who, entry.result_count) == ("maria", 10)


def test_stopped_by_its_time_it_goes_on_where_it_was(app: Celery, store: Store) -> None:
    publish_some(app, store, "acme")
    rows_of("acme")

    after, calls = "", 0
    while calls == 0 or after:
        done = orgs.forget(ME, "acme", seconds=0, after=after)
        after, calls = done.after, calls + 1
        assert calls < 100

    assert calls > 3
    again = orgs.forget(ME, "acme")
    assert (again.count, again.after) == (0, "")
    assert AuditEntry.objects.filter(verb="forget").count() == calls + 1


def test_what_is_refused(app: Celery, store: Store) -> None:
    letters.publish(app, org="acme")
    nobody = Actor.of(AnonymousUser(), AuditEntry.Surface.API)

    with pytest.raises(PermissionDenied):
        orgs.forget(nobody, "acme")
    with pytest.raises(InvalidOrg):
        orgs.forget(ME, "no such name")
    with pytest.raises(OrgRefused, match="default org"):
        orgs.forget(ME, "default")
    assert store.queue_snapshot("standard").ready == 1


def test_a_broker_that_is_away_changes_nothing(database: None) -> None:
    letters.row(org="acme").save()

    with site.celery_app(f"queueops://127.0.0.1:{free_port()}/0"), pytest.raises(BrokerUnavailable):
        orgs.forget(ME, "acme")

    assert DeadLetter.objects.count() == 1
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    "after", ["results:x", "results:", "entries:-1", "results:" + "9" * 40, "later", "jobs:1"]
)
def test_a_place_that_no_call_has_told_is_refused(app: Celery, after: str) -> None:
    with pytest.raises(InvalidCursor):
        orgs.forget(ME, "acme", after=after)
    assert not AuditEntry.objects.exists()
