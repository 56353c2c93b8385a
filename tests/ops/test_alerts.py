"""Somebody is told when something is wrong, once, and once when it is over."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from celery import Celery
from django.contrib.auth.models import Permission, User
from django.core import mail, signals
from django.core.exceptions import PermissionDenied
from django.test import override_settings

from queueops.engine.rules.settings import load
from queueops.engine.store import Store
from queueops.errors import AddressRefused, ConfigurationError
from queueops.models import Alert, AuditEntry
from queueops.ops import alert_notices, alert_watch, alerts, broker
from queueops.ops.permissions import Actor
from tests.support import letters, site
from tests.support.polling import eventually
from tests.support.ports import free_port

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ALERTS: dict[str, Any] = {"mail": ["ops@example.org"], "no_worker_minutes": 2, "unhealthy_minutes": 5}


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened
    Alert.objects.all().delete()


@pytest.fixture
def outbox() -> Iterator[list[Any]]:
    with override_settings(EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend"):
        mail.outbox = []
        yield mail.outbox


@pytest.fixture
def configured(outbox: list[Any]) -> Iterator[None]:
    with override_settings(QUEUEOPS={"ALERTS": ALERTS}):
        yield


def look(minute: float) -> list[str]:
    """What mails are about when it is looked so many minutes after the start."""
    before = len(mail.outbox)
    alerts.look(START + timedelta(minutes=minute))
    return [one.subject for one in mail.outbox[before:]]


def serve(store: Store, seconds: float = 30.0) -> None:
    """A worker registers for the queue standard."""
    info = {"hostname": "h", "pid": 1, "queues": ["standard"], "slots": 8, "version": "1", "started_ms": 1}
    store.renew("h:1:x", {}, answered=0, registration=info)


NO_WORKER = "[queueops] standard: wrong (no_worker)"
NO_WORKER_OVER = "[queueops] standard: right again (no_worker)"


def test_a_queue_that_nobody_serves_is_told_of_once_and_once_when_it_is_over(
    app: Celery, store: Store, configured: None
) -> None:
    letters.publish(app)
    assert look(0) == look(1.9) == []
    assert look(2) == [NO_WORKER]
    assert "No live worker serves the queue standard, in which 1 jobs wait." in mail.outbox[0].body
    assert mail.outbox[0].to == ["ops@example.org"]
    assert [look(minute) for minute in (2.5, 10, 60)] == [[], [], []]

    serve(store)
    assert look(61) == [], "it may come back at once"
    assert look(63) == [NO_WORKER_OVER]
    assert not Alert.objects.exists()


def test_a_worker_that_died_serves_nobody(app: Celery, store: Store, configured: None) -> None:
    letters.publish(app)
    serve(store)
    store.client.zadd(store.key("holders"), {"h:1:x": store.now_ms() - 2000})
    look(0)
    assert look(3) == [NO_WORKER], "though nobody has struck it off"


def test_what_comes_and_goes_is_one_trouble(app: Celery, store: Store, configured: None) -> None:
    letters.publish(app)
    look(0)
    assert look(3) == [NO_WORKER]
    for minute in range(4, 20, 2):
        serve(store)
        assert look(minute) == []
        store.leave("h:1:x")
        assert look(minute + 1) == []
    serve(store)
    assert look(30) == []
    assert look(32) == [NO_WORKER_OVER]


def test_what_was_short_is_not_told_at_all(app: Celery, store: Store, configured: None) -> None:
    letters.publish(app)
    look(0)
    serve(store)
    assert look(1) == look(5) == []
    assert not Alert.objects.exists()

    store.leave("h:1:x")
    assert look(6) == [], "minutes count from the new beginning"
    assert look(8) == [NO_WORKER]


def test_an_unhealthy_queue_is_told_of_with_its_reason(app: Celery, outbox: list[Any], store: Store) -> None:
    queues = {"standard": {"health": {"waiting": (1, 2)}}}
    serve(store)
    for _ in range(3):
        letters.publish(app)
    with override_settings(QUEUEOPS={"ALERTS": ALERTS, "QUEUES": queues}):
        assert look(0) == look(4) == []
        assert look(5) == ["[queueops] standard: wrong (unhealthy)"]
    assert "unhealthy: waiting is 3.00, over 2" in outbox[0].body


def test_many_deaths_are_a_spike_and_its_end_is_told(app: Celery, store: Store, outbox: list[Any]) -> None:
    settings = {**ALERTS, "dead_letters": 3, "dead_letter_minutes": 10}
    with override_settings(QUEUEOPS={"ALERTS": settings}):
        for number in range(3):
            assert look(number) == []
            letters.row(died_at=START + timedelta(minutes=number), lease_token=str(number)).save()
        assert look(4) == ["[queueops] standard: wrong (dead_letters)"]
        assert look(8) == look(11) == []
        assert look(13.5) == ["[queueops] standard: right again (dead_letters)"]


def test_a_broker_that_is_away_is_told_of_and_hides_nothing(
    app: Celery, store: Store, configured: None
) -> None:
    letters.publish(app)
    look(0)
    assert look(3) == [NO_WORKER]
    with site.celery_app(f"queueops://127.0.0.1:{free_port()}/0"):
        assert look(4) == []
        assert look(5) == ["[queueops] broker: wrong (broker)"]
        assert look(30) == []
    app.set_current()
    app.set_default()
    assert look(31) == []
    assert look(33) == ["[queueops] broker: right again (broker)"]
    assert [alert.kind for alert in Alert.objects.all()] == ["no_worker"]


def test_two_that_look_at_once_tell_once(app: Celery, store: Store, configured: None) -> None:
    letters.publish(app)
    look(0)
    [seen] = Alert.objects.all()
    assert look(3) == [NO_WORKER]

    # As another process has read the row, before the first told.
    trouble = alerts.Trouble("no_worker", "standard", "again", 2)
    alerts._wrong(seen, trouble, START + timedelta(minutes=3))
    assert len(mail.outbox) == 1


def test_a_mail_that_cannot_be_sent_is_tried_again(
    app: Celery, store: Store, configured: None, caplog: pytest.LogCaptureFixture
) -> None:
    letters.publish(app)
    look(0)
    with override_settings(EMAIL_BACKEND="no.such.Backend"):
        assert look(3) == []
    assert "could not be sent" in caplog.text
    assert look(4) == [NO_WORKER]


def test_an_end_that_cannot_be_told_is_tried_again(app: Celery, store: Store, configured: None) -> None:
    letters.publish(app)
    look(0)
    assert look(3) == [NO_WORKER]
    serve(store)
    look(4)
    with override_settings(EMAIL_BACKEND="no.such.Backend"):
        assert look(6) == []
    assert Alert.objects.exists()
    assert look(6.5) == [NO_WORKER_OVER]
    assert not Alert.objects.exists()


def test_two_that_look_at_once_tell_the_end_once(app: Celery, store: Store, configured: None) -> None:
    letters.publish(app)
    look(0)
    look(3)
    serve(store)
    look(4)
    [seen] = Alert.objects.all()
    assert look(6) == [NO_WORKER_OVER]

    # As another process has read the row, before the first told.
    alerts._right(seen, START + timedelta(minutes=6))
    assert len(mail.outbox) == 2


@pytest.fixture
def telling(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Have this done, once, when the next notice is about to be sent."""
    send = alert_notices.send

    def arrange(meanwhile: Callable[[], None]) -> None:
        def first(notice: alert_notices.Notice) -> bool:
            monkeypatch.setattr(alert_notices, "send", send)
            meanwhile()
            return send(notice)

        monkeypatch.setattr(alert_notices, "send", first)

    yield arrange


def die() -> None:
    """The process ends."""
    raise SystemExit


def test_a_notice_whose_process_died_is_told_by_another(
    app: Celery, store: Store, configured: None, telling: Any
) -> None:
    patience = alerts.TELLING.total_seconds() / 60
    letters.publish(app)
    look(0)
    telling(die)
    with pytest.raises(SystemExit):
        look(3)
    assert look(3.5) == [], "for all that others know it is being told"
    assert look(3 + patience) == [NO_WORKER]
    assert look(30) == []

    serve(store)
    look(31)
    telling(die)
    with pytest.raises(SystemExit):
        look(33)
    assert look(33.5) == []
    assert look(33 + patience) == [NO_WORKER_OVER]
    assert not Alert.objects.exists()


def test_two_that_look_tell_once_also_when_telling_takes_long(
    app: Celery, store: Store, outbox: list[Any], telling: Any
) -> None:
    letters.publish(app)
    with override_settings(QUEUEOPS={"ALERTS": {**ALERTS, "clear_minutes": 0}}):
        look(0)
        beside: list[list[str]] = []
        telling(lambda: beside.append(look(3.5)))
        assert look(3) == [NO_WORKER]
        serve(store)
        telling(lambda: beside.append(look(4.5)))
        assert look(4) == [NO_WORKER_OVER]
    assert beside == [[], []]
    assert not Alert.objects.exists()


def test_what_is_over_while_it_is_being_told_is_told_of_as_over(
    app: Celery, store: Store, outbox: list[Any], telling: Any
) -> None:
    def over() -> None:
        serve(store)
        assert look(3.5) == []

    letters.publish(app)
    with override_settings(QUEUEOPS={"ALERTS": {**ALERTS, "clear_minutes": 0}}):
        look(0)
        telling(over)
        assert look(3) == [NO_WORKER]
        assert look(4) == [NO_WORKER_OVER]
    assert not Alert.objects.exists()


def test_a_webhook_that_cannot_be_sent_to_is_a_failure_and_no_fault(
    app: Celery, store: Store, receiver: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {
        "ALERTS": {"webhook": f"{receiver}-é", "no_worker_minutes": 0},
        "ALLOW_PRIVATE_ADDRESSES": True,
    }
    letters.publish(app)
    with override_settings(QUEUEOPS=settings):
        alerts.look(START)
    assert "The webhook could not be told" in caplog.text
    assert Alert.objects.get().told_at is None, "it is tried again"


class Receiver(BaseHTTPRequestHandler):
    """Keeps what is posted."""

    got: list[tuple[str, dict[str, str], Any]] = []
    status = 200

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.got.append((self.path, dict(self.headers), body))
        self.send_response(self.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[str]:
    Receiver.got, Receiver.status = [], 200
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook?team=ops"
    server.shutdown()
    server.server_close()


def test_a_webhook_gets_the_notice_as_json(app: Celery, store: Store, receiver: str) -> None:
    settings = {"ALERTS": {"webhook": receiver, "no_worker_minutes": 0}, "ALLOW_PRIVATE_ADDRESSES": True}
    letters.publish(app)
    with override_settings(QUEUEOPS=settings):
        alerts.look(START)
    [(path, headers, body)] = Receiver.got
    assert path == "/hook?team=ops"
    assert headers["Host"] in receiver
    assert headers["Content-Type"] == "application/json"
    assert (body["event"], body["kind"], body["queue"]) == ("begin", "no_worker", "standard")
    assert body["since"] == START.isoformat()
    assert NO_WORKER in body["text"]


def test_a_private_address_is_refused(receiver: str, database: None) -> None:
    with pytest.raises(AddressRefused, match="loopback"):
        alert_notices.post(receiver, {})
    assert not Receiver.got


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_is_no_success_is_a_failure(receiver: str, database: None, status: int) -> None:
    Receiver.status = status
    with (
        override_settings(QUEUEOPS={"ALLOW_PRIVATE_ADDRESSES": True}),
        pytest.raises(OSError, match=str(status)),
    ):
        alert_notices.post(receiver, {})
    assert len(Receiver.got) == 1, "and no redirect is followed"


def test_one_process_looks_at_a_time(app: Celery, store: Store, configured: None) -> None:
    assert alert_watch.turn()
    assert not alert_watch.turn()
    store.client.delete(store.key("lock", name=alerts.LOCK))
    assert alert_watch.turn()


def test_a_web_process_looks_from_its_first_request_on(
    app: Celery, store: Store, configured: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, watched = threading.Event(), []
    monkeypatch.setattr(alert_watch, "watch", lambda app: watched.append(app))
    alert_watch.register()
    signals.request_started.send(sender=None)
    signals.request_started.send(sender=None)
    stop.set()
    eventually(lambda: watched == [app], within=10)


def test_a_watch_looks_until_it_is_stopped(app: Celery, store: Store, configured: None) -> None:
    letters.publish(app)
    stop = threading.Event()
    thread = threading.Thread(target=alert_watch.watch, args=(app, stop))
    thread.start()
    eventually(lambda: Alert.objects.filter(kind="no_worker").exists(), within=20)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


def test_what_is_wrong_can_be_seen(app: Celery, store: Store, configured: None) -> None:
    letters.publish(app)
    look(0)
    user = User.objects.create_user("carl")
    actor = Actor.of(user, AuditEntry.Surface.API)
    with pytest.raises(PermissionDenied):
        alerts.listed(actor)
    user.user_permissions.set(Permission.objects.filter(codename="view_operations"))
    [alert] = alerts.listed(Actor.of(User.objects.get(pk=user.pk), AuditEntry.Surface.API))
    assert (alert.kind, alert.queue, alert.told_at) == ("no_worker", "standard", None)
    assert str(alert) == "no_worker standard"


def test_settings_are_checked() -> None:
    assert not load({}, {}, {}).alerts.are_on
    assert load({"ALERTS": {"mail": "a@b.c, d@e.f"}}, {}, {}).alerts.mail == ("a@b.c", "d@e.f")
    for wrong in ({"mails": []}, {"dead_letters": 0}, {"webhook": ""}, {"clear_minutes": -1}, []):
        with pytest.raises(ConfigurationError):
            load({"ALERTS": wrong}, {}, {})
