"""Jobs of a transaction: with it or not at all, in order, once, whatever crashes in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction

import queueops
from queueops.errors import BrokerUnavailable, PayloadTooLarge, UnknownQueue
from queueops.middleware.depends import AFTER_LIMIT
from queueops.models import AuditEntry, OutboxEntry
from queueops.ops import broker, messages, outbox, relay
from queueops.ops.permissions import Actor
from tests.support.valkey import Valkey


class Rolled(Exception):
    """Raised to roll a transaction back."""


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """No outage of another test is remembered."""
    relay._away_until = 0.0
    yield
    relay._away_until = 0.0


@pytest.fixture
def task(app: Celery) -> Any:
    @app.task(name="outbox.note", shared=False)
    def note(n: int, text: str = "") -> None: ...

    return note


def waiting(queue: str = "standard") -> list[Any]:
    """What lies ready in the broker: the args of each job in the order in which it would run."""
    with broker.store() as store:
        claimed = store.claim([queue], 100, 0, "outbox-test", 1).jobs
        return [job.task_id for job in claimed]


def ready(queue: str = "standard") -> int:
    with broker.store() as store:
        return store.queue_snapshot(queue).ready


def test_a_job_exists_when_its_transaction_is_committed(task: Any) -> None:
    with transaction.atomic():
        first = queueops.enqueue_on_commit(task, (1,))
        second = queueops.enqueue_in_transaction(task, (2,))
        assert ready() == 0
        assert OutboxEntry.objects.count() == 1
    assert sorted(waiting()) == sorted([first, second])
    assert not OutboxEntry.objects.exists()


def test_a_rolled_back_transaction_leaves_neither_row_nor_job(task: Any) -> None:
    with pytest.raises(Rolled), transaction.atomic():
        queueops.enqueue_on_commit(task, (1,))
        queueops.enqueue_in_transaction(task, (2,))
        raise Rolled
    assert ready() == 0
    assert not OutboxEntry.objects.exists()


def test_a_savepoint_takes_its_jobs_along_and_leaves_the_others(task: Any) -> None:
    with transaction.atomic():
        kept = [queueops.enqueue_in_transaction(task, (1,))]
        with pytest.raises(Rolled), transaction.atomic():
            queueops.enqueue_in_transaction(task, (2,))
            raise Rolled
        kept.append(queueops.enqueue_in_transaction(task, (3,)))
    assert waiting() == kept


def test_a_refused_job_raises_where_the_transaction_can_still_be_rolled_back(task: Any) -> None:
    for enqueue in (queueops.enqueue_on_commit, queueops.enqueue_in_transaction):
        with transaction.atomic():
            with pytest.raises(UnknownQueue):
                enqueue(task, (1,), queue="nowhere")
            with pytest.raises(PayloadTooLarge):
                enqueue(task, (1,), {"text": "x" * 300_000})
            with pytest.raises(TypeError):
                enqueue(task)
    assert ready() == 0 and not OutboxEntry.objects.exists()


def test_a_job_is_the_one_of_the_call_and_not_of_the_commit(task: Any) -> None:
    arguments = [1]
    with transaction.atomic():
        with queueops.org_context("acme"):
            queueops.enqueue_in_transaction(task, arguments, queue="bulk", priority="HIGH")
            queueops.enqueue_on_commit(task, arguments, queue="bulk")
        arguments[0] = 2
    with broker.store() as store:
        jobs = store.claim(["bulk"], 10, 0, "outbox-test", 1).jobs
    assert [job.org for job in jobs] == ["acme", "acme"]
    assert [messages.read(job.message).args for job in jobs] == [[1], [1]]


def test_rows_wait_for_a_broker_that_is_away_and_keep_their_order(
    task: Any, app: Celery, valkey: Valkey
) -> None:
    there, app.conf.broker_url = app.conf.broker_url, "queueops://127.0.0.1:1/0"
    app.amqp._producer_pool = None
    with transaction.atomic():
        ids = [queueops.enqueue_in_transaction(task, (n,)) for n in range(3)]
    with pytest.raises(BrokerUnavailable), transaction.atomic():
        queueops.enqueue_on_commit(task, (1,))
    assert OutboxEntry.objects.count() == 3
    # When it is back, a later transaction does not overtake them
    app.conf.broker_url = there
    app.amqp._producer_pool = None
    relay._away_until = 0.0
    with transaction.atomic():
        ids.append(queueops.enqueue_in_transaction(task, (3,)))
    assert waiting() == ids
    assert not OutboxEntry.objects.exists()


def test_a_relay_that_died_before_it_could_delete_the_rows_is_repeated_without_harm(task: Any) -> None:
    with transaction.atomic():
        relay._away_until = float("inf")
        task_id = queueops.enqueue_in_transaction(task, (1,))
    entry = OutboxEntry.objects.get()
    with broker.store() as store:
        store.enqueue(entry.queue, [relay.job_of(entry)])  # and the process is gone
        assert relay.relay_all(store) == 1
    assert waiting() == [task_id]
    assert not OutboxEntry.objects.exists()


def test_a_poisoned_row_stays_with_its_error_and_holds_nobody_back(task: Any) -> None:
    with transaction.atomic():
        relay._away_until = float("inf")
        ids = [queueops.enqueue_in_transaction(task, (n,)) for n in range(3)]
    poisoned = OutboxEntry.objects.get(task_id=ids[1])
    poisoned.head["org"] = "no org at all"
    poisoned.save()
    with broker.store() as store:
        assert relay.relay_all(store) == 2
        assert relay.relay_all(store) == 0
    assert waiting() == [ids[0], ids[2]]
    left = OutboxEntry.objects.get()
    assert left.task_id == ids[1] and "InvalidOrg" in left.error and left.tries == 1


def test_a_person_retries_or_discards_what_was_refused(task: Any) -> None:
    from django.contrib.auth.models import User

    with transaction.atomic():
        relay._away_until = float("inf")
        ids = [queueops.enqueue_in_transaction(task, (n,)) for n in range(3)]
    keys = list(OutboxEntry.objects.order_by("id").values_list("pk", flat=True))
    OutboxEntry.objects.filter(pk__in=keys[:2]).update(
        refused_at="2026-01-01T00:00:00Z", error="UnknownQueue: x"
    )
    nobody = Actor.of(User.objects.create_user("nobody"), AuditEntry.Surface.ADMIN)
    for verb in (outbox.retry, outbox.discard):
        with pytest.raises(PermissionDenied):
            verb(nobody, keys)
    assert outbox.discard(Actor.shell("maria"), keys[:1]) == 1
    assert outbox.discard(Actor.shell("maria"), keys[2:]) == 0, "what waits is not refused"
    assert outbox.retry(Actor.shell("maria"), keys) == 1
    with broker.store() as store:
        assert relay.relay_all(store) == 2
    assert waiting() == ids[1:]
    assert set(AuditEntry.objects.values_list("verb", flat=True)) == {"retry", "discard"}


def test_many_rows_go_in_bounded_steps(task: Any) -> None:
    with transaction.atomic():
        relay._away_until = float("inf")
        for n in range(relay.STEP + 5):
            queueops.enqueue_in_transaction(task, (n,))
    with broker.store() as store:
        assert relay.relay(store) == relay.STEP
        assert relay.relay_all(store) == 5
    assert ready() == relay.STEP + 5


def test_threads_that_relay_at_the_same_time_enqueue_each_job_once(task: Any) -> None:
    with transaction.atomic():
        relay._away_until = float("inf")
        ids = [queueops.enqueue_in_transaction(task, (n,)) for n in range(60)]

    def go() -> None:
        try:
            with broker.store() as store:
                relay.relay_all(store)
        finally:
            connection.close()

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with broker.store() as store:
        relay.relay_all(store)
    assert waiting() == ids


def test_a_full_queue_lets_its_rows_wait_and_those_of_others_go(task: Any) -> None:
    with broker.store() as store:
        store.set_queue("bulk", max_ready=2)
    with transaction.atomic():
        relay._away_until = float("inf")
        full = [queueops.enqueue_in_transaction(task, (n,), queue="bulk") for n in range(4)]
        other = queueops.enqueue_in_transaction(task, (9,))
    with broker.store() as store:
        assert relay.relay_all(store) == 3
    assert waiting() == [other] and waiting("bulk") == full[:2]
    assert not OutboxEntry.objects.refused().exists()
    with broker.store() as store:
        assert relay.relay_all(store) == 2


def test_what_was_not_sent_when_no_replica_confirmed_what_was_stays_and_goes_next(task: Any) -> None:
    parents = queueops.enqueue_many(task, [queueops.Item((n,)) for n in range(AFTER_LIMIT)])
    with transaction.atomic():
        relay._away_until = float("inf")
        options: dict[str, Any] = {"queue": "bulk", "after": parents, "durable": True}
        ids = [queueops.enqueue_in_transaction(task, (n,), **options) for n in range(3)]
        other = queueops.enqueue_in_transaction(task, (9,), queue="critical")
        ids.append(queueops.enqueue_in_transaction(task, (3,), queue="bulk"))
    with broker.store() as store:
        # The three wait for more jobs than one step of an enqueue may: the third is not sent.
        assert relay.relay_all(store) == 3
        assert store.living(ids) == set(ids[:2])
        assert waiting("critical") == [other]
        left = list(OutboxEntry.objects.order_by("id").values_list("task_id", flat=True))
        assert left == ids[2:], "the last one, too: it must not overtake the third"
        assert relay.relay_all(store) == 2
        assert store.living(ids) == set(ids)
    assert waiting("bulk") == ids[3:]
    assert not OutboxEntry.objects.exists()


def test_a_job_that_no_replica_confirmed_is_not_refused_beside_a_poisoned_one(task: Any) -> None:
    with transaction.atomic():
        relay._away_until = float("inf")
        ids = [queueops.enqueue_in_transaction(task, (n,), durable=True) for n in range(3)]
    poisoned = OutboxEntry.objects.get(task_id=ids[1])
    poisoned.head["org"] = "no org at all"
    poisoned.save()
    with broker.store() as store:
        while relay.relay_all(store):
            pass
    assert waiting() == [ids[0], ids[2]]
    assert [entry.task_id for entry in OutboxEntry.objects.all()] == [ids[1]]
    assert "InvalidOrg" in OutboxEntry.objects.get().error
