"""Resources in admin: refused with the reason, published, shown beside what happens now, panic by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from django.contrib.messages import get_messages
from django.test import Client, override_settings

from queueops.engine.rules.gates import Breaker, ResourceLimits
from queueops.engine.store import Store
from queueops.models import AuditEntry, Resource
from queueops.ops import broker, panic, resources
from queueops.ops.permissions import Actor
from tests.support import letters, site
from tests.support.valkey import Valkey

LIST = "/admin/queueops/resource/"
ACTOR = Actor.shell("maria")
EMPTY = dict.fromkeys((*Resource.FIELDS, "note"), "")


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


def form(**given: str) -> dict[str, str]:
    return {"name": "whatsapp", **EMPTY, **given}


def told(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


def rows(page: str) -> str:
    """The list without the resources that have no row: tasks of other tests may have a rate_limit."""
    return page.partition("qo-others")[0]


def test_a_resource_is_saved_published_and_deleted(store: Store, client: Client) -> None:
    answer = client.post(f"{LIST}add/", form(rate="10/s", burst="20", breaker="on", probes="1"))
    assert answer.status_code == 302
    assert store.read_resources() == {"whatsapp": ResourceLimits(600.0, 20, None, Breaker(probes=1))}
    row = Resource.objects.get()
    client.post(f"{LIST}{row.pk}/change/", form(name="other", max_in_flight="9"))
    assert store.read_resources() == {"whatsapp": ResourceLimits(max_in_flight=9)}, "its name stays"
    client.post(f"{LIST}{row.pk}/delete/", {"post": "yes"})
    assert store.read_resources() == {}
    assert list(AuditEntry.objects.order_by("pk").values_list("verb", "surface")) == [
        ("set_limit", "admin"),
        ("set_limit", "admin"),
        ("reset_limit", "admin"),
    ]


@pytest.mark.parametrize(
    ("given", "field", "reason"),
    [
        ({"rate": "often"}, "rate", "10/s, 5/m, 100/h, 1000/d"),
        ({"rate": "0"}, "rate", "to stop a resource, pause it"),
        ({"max_in_flight": "-5"}, "max_in_flight", "max in flight must be between 0"),
        ({"failure_share": "2"}, "failure_share", "failure share must be"),
        ({"open_seconds": "60"}, "__all__", "longest open must be at least open"),
        ({"name": "no spaces", "burst": "1"}, "name", "A name is 1 to 128 characters"),
        ({}, "__all__", "Set at least one limit"),
    ],
)
def test_bad_values_are_refused_in_the_form_with_the_reason(
    store: Store, client: Client, given: dict[str, str], field: str, reason: str
) -> None:
    inherited = {"RESOURCES": {"whatsapp": {"breaker": {"longest_open_seconds": 40}}}}
    with override_settings(QUEUEOPS=inherited):
        answer = client.post(f"{LIST}add/", form(**given))
    assert answer.status_code == 200
    errors = answer.context_data["adminform"].form.errors  # type: ignore[attr-defined]
    assert reason in " ".join(errors[field])
    assert not Resource.objects.exists()


def test_the_live_picture_stands_beside_each_row(app: Celery, store: Store, client: Client) -> None:
    row = resources.set_limit(ACTOR, "whatsapp", {"max_in_flight": 2, "rate": "1/m", "burst": 20})
    for number in range(5):
        letters.publish(app, number, queue="bulk", org="acme", resource="whatsapp")
    assert len(store.claim(["bulk"], 5, 0, "holder", 1).jobs) == 2
    for page in (text(client.get(LIST)), text(client.get(f"{LIST}{row.pk}/change/"))):
        assert "<b>2</b> in flight" in page and "<b>3</b> waiting" in page
        assert "<b>18</b> of the rate left" in page
        assert "resource concurrency" in page and "until a slot is free" in page
        assert "qo-is-drift" not in rows(page)
    assert "<b>3</b> in bulk" in page
    assert 'rate <b>1</b> <span class="qo-quiet">row</span>' in page
    store.set_resources({"whatsapp": ResourceLimits(max_in_flight=50)})
    assert "qo-is-drift" in rows(text(client.get(LIST)))


def test_resources_without_a_row_are_listed_too(app: Celery, store: Store, client: Client) -> None:
    resources.set_limit(ACTOR, "whatsapp", {"max_in_flight": 2})
    with override_settings(QUEUEOPS={"RESOURCES": {"stripe": {"rate": "10/s"}}}):
        panic.on(ACTOR, "afip", reason="down since noon")
        page = text(client.get(LIST))
    others = page[page.index("qo-others") :]
    assert "stripe" in others and "settings QUEUEOPS" in others
    assert "afip" in others and "down since noon" in others and "until ended by hand" in others
    assert "whatsapp" not in others


def test_a_breaker_that_has_opened_is_shown_with_why_and_when_next(
    app: Celery, store: Store, client: Client
) -> None:
    resources.set_limit(ACTOR, "whatsapp", {"breaker": True, "min_calls": 2})
    for number in range(3):
        letters.publish(app, number, queue="bulk", resource="whatsapp")
    jobs = store.claim(["bulk"], 2, 0, "holder", 1).jobs
    store.settle([letters.Settlement(job.token, "dead", 5, {"reason": "failed"}, True) for job in jobs])
    panic.watch(store)
    page = text(client.get(LIST))
    assert "panic" in page and "2 of 2 calls failed" in page and "opened 1 in a row" in page
    assert "probes in" in page and "resource breaker" in page
    one = text(client.get(f"{LIST}{Resource.objects.get().pk}/change/"))
    assert "opened by breaker: 2 of 2 calls failed" in one


def test_panic_asks_first_and_tells_what_it_would_hold(app: Celery, store: Store, client: Client) -> None:
    row = resources.set_limit(ACTOR, "whatsapp", {"max_in_flight": 20})
    for number in range(3):
        letters.publish(app, number, queue="bulk", org="acme", resource="whatsapp")
    asked = client.post(LIST, {"action": "panic_selected", "_selected_action": [row.pk]})
    assert asked.status_code == 302
    page = text(client.get(asked["Location"]))
    assert "What it would hold now" in page and "<b>3</b> jobs" in page and "acme <b>3</b>" in page
    assert panic.status() == [], "asking changes nothing"

    refused = client.post(asked["Location"], {"name": "whatsapp", "minutes": "-1"})
    assert "greater than or equal to" in text(refused)
    done = client.post(asked["Location"], {"name": "whatsapp", "minutes": "5", "reason": "they block us"})
    assert "whatsapp is put into panic mode." in told(done)
    [status] = panic.status()
    assert (status.state, status.by_hand, status.reason) == ("open", True, "they block us")
    assert status.next_at is not None and "probes at" in text(client.get(LIST))
    assert store.claim(["bulk"], 9, 0, "holder", 1).jobs == []

    asked = client.post(LIST, {"action": "panic_off_selected", "_selected_action": [row.pk]})
    assert "closes at once" in text(client.get(asked["Location"]))
    client.post(asked["Location"], {"name": "whatsapp"})
    again = client.post(asked["Location"], {"name": "whatsapp"})
    assert "whatsapp was not." in told(again)
    assert len(store.claim(["bulk"], 9, 0, "holder", 2).jobs) == 3


def test_a_resource_is_paused_and_resumed(store: Store, client: Client) -> None:
    client.post(f"{LIST}operate/pause/?name=stripe", {"name": "stripe", "reason": "deploy"})
    assert store.resource_snapshot("stripe").gate == "pause"
    client.post(f"{LIST}operate/resume/?name=stripe", {"name": "stripe"})
    assert store.resource_snapshot("stripe").gate is None


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("operate/panic/", 400),
        ("operate/panic/?" + "&".join(f"name=r{n}" for n in range(51)), 400),
        ("operate/explode/?name=a", 404),
        ("operate/panic/?name=no%20spaces", 302),
    ],
)
def test_what_cannot_be_asked_is_refused(store: Store, client: Client, path: str, status: int) -> None:
    assert client.get(LIST + path).status_code == status


def test_who_may_only_look_cannot_operate(store: Store, login: Callable[..., Client]) -> None:
    row = resources.set_limit(ACTOR, "whatsapp", {"max_in_flight": 2})
    client = login("view_resource", "change_resource")
    page = text(client.get(f"{LIST}{row.pk}/change/"))
    assert "operate/panic" not in page
    for verb in ("panic", "panic_off", "pause", "resume"):
        assert client.post(f"{LIST}operate/{verb}/", {"name": "whatsapp"}).status_code == 403
    assert panic.status() == []


def test_with_the_broker_away_the_pages_open_and_say_so(client: Client) -> None:
    server = Valkey()
    with site.celery_app(server.broker_url):
        server.close()
        row = resources.set_limit(ACTOR, "whatsapp", {"max_in_flight": 2})
        for path in ("", f"{row.pk}/change/"):
            page = client.get(LIST + path)
            assert page.status_code == 200
            assert "What happens now cannot be shown" in page.content.decode()
        refused = client.post(f"{LIST}operate/panic/?name=whatsapp", {"name": "whatsapp"})
        assert "does not answer" in told(refused)
        saved = client.post(f"{LIST}{row.pk}/change/", form(max_in_flight="3"))
        assert "published when it is back" in told(saved)
    row.refresh_from_db()
    assert row.max_in_flight == 3
