"""A job by its task's name: taken as the task itself would send it, or refused with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery
from django.core.exceptions import PermissionDenied

from queueops.engine.store import Store
from queueops.errors import (
    BrokerUnavailable,
    ConfigurationError,
    InvalidMessage,
    InvalidOrg,
    InvalidPriority,
    InvalidResource,
    UnknownQueue,
    UnknownTask,
)
from queueops.models import AuditEntry
from queueops.ops import broker, messages
from queueops.ops.permissions import Actor
from queueops.ops.submit import Submitted, submit
from tests.support import letters, site
from tests.support.valkey import Valkey

ACTOR = Actor.shell("maria")


def deliver(number: int, url: str = "", token: str = "") -> None: ...


def bill() -> None: ...


def register(app: Celery) -> None:
    app.task(name="shop.deliver", shared=False)(deliver)
    app.task(name="shop.bill", shared=False)(bill)


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    register(app)
    with broker.store() as opened:
        yield opened


def test_a_job_goes_where_it_is_sent_with_all_that_was_said(store: Store) -> None:
    late = datetime.now(UTC) + timedelta(hours=1)
    made = submit(
        ACTOR, "shop.deliver", [5], {"url": "https://x", "token": "hush"},
        queue="bulk", org="acme", resource="stripe", priority="HIGH", deadline=late,
    )  # fmt: skip
    assert (made.state, made.queue, made.org) == ("ready", "bulk", "acme")
    job = letters.claim(store, "bulk")
    message = messages.read(job.message)
    assert (job.task_id, job.org, job.resource) == (made.task_id, "acme", "stripe")
    assert (message.args, message.kwargs) == ([5], {"url": "https://x", "token": "hush"})
    assert (message.own["priority"], message.own["deadline"]) == (1, int(late.timestamp() * 1000))
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.target, entry.result_count) == ("enqueue", "task shop.deliver", 1)
    assert entry.parameters["task_id"] == made.task_id
    assert "hush" not in str(entry.parameters)


def test_what_is_not_said_is_as_the_task_says(store: Store) -> None:
    made = submit(ACTOR, "shop.bill")
    assert (made.state, made.queue, made.org) == ("ready", "standard", "default")


@pytest.mark.parametrize("later", [{"countdown": 60}, {"eta": datetime(2099, 1, 1, tzinfo=UTC)}])
def test_a_job_for_later_waits_in_the_broker(store: Store, later: dict[str, object]) -> None:
    assert submit(ACTOR, "shop.bill", **later).state == "scheduled"  # type: ignore[arg-type]
    assert store.queue_snapshot("standard").scheduled == 1


def test_a_second_job_of_a_unique_key_is_the_first_one(store: Store) -> None:
    first = submit(ACTOR, "shop.bill", unique_key="invoice-7", org="acme")
    again = submit(ACTOR, "shop.bill", unique_key="invoice-7", org="acme")
    assert again == Submitted(first.task_id, "existing", "standard", "acme")
    assert store.queue_snapshot("standard").ready == 1
    assert list(AuditEntry.objects.order_by("pk").values_list("result_count", flat=True)) == [1, 0]


def test_an_unknown_task_is_refused_with_those_that_look_like_it(store: Store) -> None:
    for typed, near in (("shop.delivr", "shop.deliver"), ("deliver", "shop.deliver")):
        with pytest.raises(UnknownTask, match=f"Did you mean {near}") as refused:
            submit(ACTOR, typed)
        assert refused.value.near[0] == near
    with pytest.raises(UnknownTask, match=r"no worker could run it\.$"):
        submit(ACTOR, "zzzzzz")
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("given", "error", "why"),
    [
        ({"queue": "nowhere"}, UnknownQueue, "not declared"),
        ({"org": "no org"}, InvalidOrg, "refused"),
        ({"resource": "no resource"}, InvalidResource, "refused"),
        ({"priority": 11}, InvalidPriority, "allowed is 0"),
        ({"args": [1, 2]}, InvalidMessage, "does not take this"),
        ({"kwargs": {"when": object()}}, InvalidMessage, "does not take this"),
        ({"eta": datetime(2099, 1, 1, tzinfo=UTC), "countdown": 1}, InvalidMessage, "not both"),
        ({"countdown": 1e300}, InvalidMessage, "does not take this"),
        ({"deadline": -5}, ConfigurationError, "deadline"),
    ],
)
def test_what_the_broker_would_not_take_is_refused(
    store: Store, given: dict[str, object], error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        submit(ACTOR, "shop.bill", **given)  # type: ignore[arg-type]
    assert store.queue_snapshot("standard").ready == 0
    assert not AuditEntry.objects.exists()


def test_without_the_permission_nothing_is_enqueued(store: Store) -> None:
    from django.contrib.auth.models import User

    nobody = Actor.of(User.objects.create_user("nobody"), AuditEntry.Surface.API)
    with pytest.raises(PermissionDenied, match="enqueue_job"):
        submit(nobody, "shop.bill")
    assert store.queue_snapshot("standard").ready == 0


def test_with_the_broker_away_it_says_so(database: None) -> None:
    server = Valkey()
    with site.celery_app(server.broker_url) as app:
        register(app)
        server.close()
        with pytest.raises(BrokerUnavailable):
            submit(ACTOR, "shop.bill")
    assert not AuditEntry.objects.exists()
