"""The job behind a webhook, on a real database and a real receiver."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import connection
from django.test import override_settings

from queueops.errors import PayloadTooLarge
from tasks.conf import webhook_settings
from tasks.failures import AddressRefused, EndpointUnusable, InvalidEvent, PermanentFailure, TemporaryFailure
from tasks.signing import sign, verify

from .receiver import Receiver, answer

if TYPE_CHECKING:
    from tasks.models import Delivery, Endpoint

PAYLOAD = {"action": "opened", "issue": {"title": "größer"}}


def run(endpoint: Endpoint, **changes: Any) -> dict[str, Any]:
    """Run the job once, as a worker does."""
    from tasks.webhooks import deliver

    given = {
        "endpoint_id": endpoint.pk,
        "org": endpoint.org,
        "event_id": "event-1",
        "event_type": "issues.opened",
        "payload": PAYLOAD,
        **changes,
    }
    result: dict[str, Any] = deliver(**given)
    return result


def row() -> Delivery:
    from tasks.models import Delivery

    return Delivery.objects.get()


def test_a_delivery_is_signed_named_and_recorded(endpoint: Endpoint, receiver: Receiver) -> None:
    receiver.handle = answer(202, b"thanks")

    result = run(endpoint)

    (request,) = receiver.requests
    assert json.loads(request.body) == PAYLOAD
    assert verify(endpoint.secret, request.headers, request.body) == "event-1"
    assert request.headers["webhook-event"] == "issues.opened"
    assert request.headers["webhook-attempt"] == "1"
    assert result["status"] == 202
    kept = row()
    assert (kept.outcome, kept.attempts, kept.status, kept.excerpt) == ("delivered", 1, 202, "thanks")
    assert (kept.org, kept.event_type, kept.error) == ("acme", "issues.opened", "")
    assert kept.first_attempt_at == kept.last_attempt_at


def test_an_event_that_was_taken_is_not_sent_again(endpoint: Endpoint, receiver: Receiver) -> None:
    run(endpoint)
    assert run(endpoint)["status"] is None
    assert len(receiver.requests) == 1
    run(endpoint, event_id="event-2")
    assert len(receiver.requests) == 2


def test_attempts_of_one_event_share_a_row(endpoint: Endpoint, receiver: Receiver) -> None:
    receiver.handle = answer(503, b"busy", retry_after="7")
    with pytest.raises(TemporaryFailure) as caught:
        run(endpoint)
    assert caught.value.retry_after == 7.0
    kept = row()
    assert (kept.outcome, kept.attempts, kept.status, kept.excerpt) == ("failed", 1, 503, "busy")
    assert kept.error.startswith("TemporaryFailure: The receiver answered 503")

    receiver.handle = answer(200)
    run(endpoint)
    kept = row()
    assert (kept.outcome, kept.attempts, kept.status, kept.error) == ("delivered", 2, 200, "")
    assert kept.first_attempt_at < kept.last_attempt_at


def test_a_permanent_answer_is_recorded_and_its_class_is_never_retried(
    endpoint: Endpoint, receiver: Receiver
) -> None:
    from tasks.webhooks import deliver

    receiver.handle = answer(410)
    with pytest.raises(PermanentFailure) as caught:
        run(endpoint)
    assert isinstance(caught.value, deliver.no_retry)
    assert not isinstance(TemporaryFailure(), deliver.no_retry)
    assert (row().outcome, row().status) == ("refused", 410)


def test_no_answer_is_recorded_without_a_status(endpoint: Endpoint, receiver: Receiver) -> None:
    receiver.handle = lambda handler, request: handler.connection.close()
    with pytest.raises(TemporaryFailure):
        run(endpoint)
    assert (row().outcome, row().status) == ("failed", None)


def test_a_private_address_is_refused_unless_endpoint_or_settings_allow_it(
    endpoint: Endpoint, receiver: Receiver
) -> None:
    endpoint.allow_private = False
    endpoint.save()
    with pytest.raises(AddressRefused):
        run(endpoint)
    assert receiver.requests == []
    assert row().outcome == "refused"
    with override_settings(QUEUEOPS={"ALLOW_PRIVATE_ADDRESSES": True}):
        run(endpoint)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"endpoint_id": 0}, "does not exist"),
        ({"org": "globex"}, "does not belong to globex"),
        ({"event_type": "two\nlines"}, "visible ASCII"),
        ({"event_id": ""}, "visible ASCII"),
        ({"event_id": 17}, "visible ASCII"),
        ({"payload": float("nan")}, "cannot be written as JSON"),
        ({"signature_headers": {"host": "internal"}}, "not host"),
    ],
)
def test_what_can_never_be_delivered_is_not_sent(
    endpoint: Endpoint, receiver: Receiver, change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(PermanentFailure, match=reason):
        run(endpoint, **change)
    assert receiver.requests == []


def test_an_endpoint_that_is_switched_off_gets_nothing(endpoint: Endpoint, receiver: Receiver) -> None:
    endpoint.active = False
    endpoint.save()
    with pytest.raises(EndpointUnusable, match="switched off"):
        run(endpoint)
    assert receiver.requests == []


def test_precomputed_headers_are_sent_as_they_are(endpoint: Endpoint, receiver: Receiver) -> None:
    from tasks.delivery import encode

    precomputed = sign(endpoint.secret, "event-1", encode(PAYLOAD), at=None)
    run(endpoint, signature_headers=precomputed)
    headers = receiver.requests[0].headers
    assert {name: headers[name] for name in precomputed} == precomputed


def in_another_thread(work: Any) -> None:
    """Run it on a connection of its own, as another process would."""

    def whole() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=whole)
    thread.start()
    thread.join()


def test_a_second_run_at_the_same_time_is_counted(endpoint: Endpoint, receiver: Receiver) -> None:
    # Given a job that is handed out twice: while one waits for the answer, the other one ends
    receiver.handle = answer(503)

    def fails() -> None:
        with pytest.raises(TemporaryFailure):
            run(endpoint)

    def other_run_first(handler: Any, request: Any) -> None:
        receiver.handle = answer(503)
        in_another_thread(fails)
        answer(200)(handler, request)

    receiver.handle = other_run_first
    run(endpoint)
    assert (row().outcome, row().attempts) == ("delivered", 2)


def test_a_database_that_is_away_at_the_record_does_not_send_the_event_again(
    endpoint: Endpoint, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    def lose_the_table(handler: Any, request: Any) -> None:
        def rename() -> None:
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE tasks_delivery RENAME TO tasks_delivery_away")

        in_another_thread(rename)
        answer(200)(handler, request)

    receiver.handle = lose_the_table
    try:
        # The job succeeds: the event has arrived.
        assert run(endpoint)["status"] == 200
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE tasks_delivery_away RENAME TO tasks_delivery")
    assert "event-1" in caplog.text and "not recorded" in caplog.text


def test_send_enqueues_one_job_for_each_active_endpoint_of_the_org(endpoint: Endpoint, app: Celery) -> None:
    from queueops.ops import broker
    from tasks.models import Endpoint
    from tasks.webhooks import send

    Endpoint.objects.create(org="acme", url="https://two.example/")
    Endpoint.objects.create(org="acme", url="https://off.example/", active=False)
    Endpoint.objects.create(org="globex", url="https://globex.example/")

    assert len(set(send("acme", "issues.opened", PAYLOAD))) == 2
    assert send("nobody", "issues.opened", PAYLOAD) == []
    with broker.store() as store:
        # The jobs lie in the lane of their org, not in the default one's.
        assert store.org_snapshot("webhooks", "acme").ready == 2
        assert store.queue_snapshot("webhooks").ready == 2


def test_send_refuses_what_could_never_be_delivered(endpoint: Endpoint, app: Celery) -> None:
    from tasks.webhooks import send

    with pytest.raises(InvalidEvent):
        send("acme", "two words", PAYLOAD)
    with pytest.raises(InvalidEvent):
        send("acme", "issues.opened", {"at": {1}})
    with pytest.raises(PayloadTooLarge):
        send("acme", "issues.opened", {"blob": "x" * 300_000})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"url": "http://169.254.169.254/", "allow_private": True}, "url"),
        ({"url": "ftp://hooks.example/"}, "url"),
        ({"secret": "guess"}, "secret"),
        ({"org": "two words"}, "org"),
    ],
)
def test_an_endpoint_with_which_no_delivery_could_succeed_is_refused(
    database: None, changes: dict[str, Any], field: str
) -> None:
    from tasks.models import Endpoint

    with pytest.raises(ValidationError) as caught:
        Endpoint(**{"org": "acme", "url": "https://hooks.example/", **changes}).full_clean()
    assert list(caught.value.message_dict) == [field]


def test_settings_act_at_once_and_unknown_names_are_refused() -> None:
    with override_settings(WEBHOOKS={"READ_TIMEOUT": 3}):
        assert webhook_settings().read_timeout == 3
    with override_settings(WEBHOOKS={"REED_TIMEOUT": 3}), pytest.raises(ImproperlyConfigured, match="REED"):
        webhook_settings()
