"""Limits of orgs in admin: refused with the reason, published, and shown beside what happens now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from queueops.engine.rules.gates import Limits
from queueops.engine.store import Store
from queueops.models import AuditEntry, OrgLimit
from queueops.ops import broker, limits
from queueops.ops.permissions import Actor
from tests.support import letters, site
from tests.support.valkey import Valkey

LIST = "/admin/queueops/orglimit/"
ACTOR = Actor.shell("maria")
EMPTY = {"weight": "", "rpm": "", "burst": "", "max_in_flight": "", "share": "", "note": ""}
UNTIL = {"valid_until_0": "", "valid_until_1": ""}


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


def form(**given: str) -> dict[str, str]:
    return {"org": "acme", "queue": "bulk", **EMPTY, **UNTIL, **given}


def told(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def test_a_limit_is_saved_published_and_deleted(store: Store, client: Client) -> None:
    answer = client.post(f"{LIST}add/", form(rpm="600", burst="20", max_in_flight="4", note="slow endpoint"))
    assert answer.status_code == 302
    assert store.read_limits("bulk") == {"acme": Limits(rpm=600.0, burst=20, max_in_flight=4)}
    row = OrgLimit.objects.get()
    client.post(f"{LIST}{row.pk}/change/", form(max_in_flight="9", note="slow endpoint"))
    assert store.read_limits("bulk") == {"acme": Limits(max_in_flight=9)}
    client.post(f"{LIST}{row.pk}/delete/", {"post": "yes"})
    assert store.read_limits("bulk") == {}
    assert list(AuditEntry.objects.order_by("pk").values_list("verb", "surface")) == [
        ("set_limit", "admin"),
        ("set_limit", "admin"),
        ("reset_limit", "admin"),
    ]


def test_rows_that_are_deleted_together_are_taken_back_too(store: Store, client: Client) -> None:
    for org in ("a", "b"):
        limits.set_limit(ACTOR, org, "bulk", {"weight": 2})
    chosen = {"action": "delete_selected", "_selected_action": [row.pk for row in OrgLimit.objects.all()]}
    client.post(LIST, {**chosen, "post": "yes"})
    assert store.read_limits("bulk") == {}
    assert AuditEntry.objects.filter(verb="reset_limit").count() == 2


@pytest.mark.parametrize(
    ("given", "field", "reason"),
    [
        ({"rpm": "0"}, "rpm", "to stop an org, pause it"),
        ({"max_in_flight": "-5"}, "max_in_flight", "max in flight must be between 0"),
        ({"share": "2"}, "share", "share must be above 0 and at most 1"),
        ({"weight": "0"}, "weight", "weight must be between"),
        ({"burst": "0"}, "burst", "burst must be between 1"),
        ({"org": "no spaces", "weight": "1"}, "org", "A name is 1 to 128 characters"),
        ({"queue": "bulks", "weight": "1"}, "queue", "bulks is not one of the available choices"),
        (
            {"weight": "1", "valid_until_0": "2020-01-01", "valid_until_1": "00:00"},
            "valid_until",
            "has passed",
        ),
        ({}, "__all__", "Set at least one limit"),
    ],
)
def test_bad_values_are_refused_in_the_form_with_the_reason(
    store: Store, client: Client, given: dict[str, str], field: str, reason: str
) -> None:
    answer = client.post(f"{LIST}add/", form(**given))
    assert answer.status_code == 200
    errors = answer.context_data["adminform"].form.errors  # type: ignore[attr-defined]
    assert reason in " ".join(errors[field])
    assert not OrgLimit.objects.exists()
    assert store.read_limits("bulk") == {}


def test_an_org_has_one_limit_for_a_queue_and_one_for_a_time(store: Store, client: Client) -> None:
    client.post(f"{LIST}add/", form(weight="1"))
    twice = client.post(f"{LIST}add/", form(weight="2"))
    assert "already has a limit for this queue" in twice.content.decode()
    client.post(f"{LIST}add/", form(weight="2", valid_until_0="2099-01-01", valid_until_1="00:00"))
    assert OrgLimit.objects.count() == 2


def test_the_live_picture_stands_beside_each_row(app: Celery, store: Store, client: Client) -> None:
    limits.set_limit(ACTOR, "acme", "bulk", {"max_in_flight": 2, "rpm": 1, "burst": 20})
    limits.set_limit(ACTOR, "other", "", {"weight": 2})
    for number in range(5):
        letters.publish(app, number, queue="bulk", org="acme")
        letters.publish(app, number, queue="standard", org="other")
    assert len(store.claim(["bulk"], 5, 0, "holder", 1).jobs) == 2
    store.claim(["standard"], 1, 0, "holder", 2)

    page = " ".join(client.get(LIST).content.decode().split())

    assert "<b>2</b> in flight" in page and "<b>3</b> ready" in page
    assert "<b>18</b> of the rate left" in page
    assert "org concurrency" in page and "until a slot is free" in page
    assert "<b>1</b> in flight" in page and "<b>4</b> ready" in page and "in 4 queues" in page
    assert "drift" not in page


def test_an_org_over_its_rate_is_shown_throttled_until_its_time(
    app: Celery, store: Store, client: Client
) -> None:
    limits.set_limit(ACTOR, "acme", "bulk", {"rpm": 1, "burst": 1})
    for number in range(2):
        letters.publish(app, number, queue="bulk", org="acme")
    store.claim(["bulk"], 2, 0, "holder", 1)
    store.claim(["bulk"], 2, 0, "holder", 2)
    page = client.get(LIST).content.decode()
    assert "org rate" in page
    assert "for 5" in page or "for 60.0 s" in page


def test_a_difference_between_broker_and_rows_is_marked(store: Store, client: Client) -> None:
    row = limits.set_limit(ACTOR, "acme", "bulk", {"max_in_flight": 2})
    store.set_limits("bulk", {"acme": Limits(max_in_flight=50)})
    assert "qo-is-drift" in client.get(LIST).content.decode()
    page = client.get(f"{LIST}{row.pk}/change/").content.decode()
    assert "qo-is-drift" in page
    assert "row acme in bulk" in page


def test_with_the_broker_away_the_pages_open_and_say_so(client: Client) -> None:
    server = Valkey()
    with site.celery_app(server.broker_url):
        server.close()
        row = limits.set_limit(ACTOR, "acme", "bulk", {"max_in_flight": 2})
        for path in ("", f"{row.pk}/change/"):
            page = client.get(LIST + path)
            assert page.status_code == 200
            assert "What happens now cannot be shown" in page.content.decode()
        saved = client.post(f"{LIST}{row.pk}/change/", form(max_in_flight="3"))
        assert saved.status_code == 302
        assert "published when it is back" in told(saved)
    row.refresh_from_db()
    assert row.max_in_flight == 3


def test_a_temporary_limit_is_shown_with_its_end(store: Store, client: Client) -> None:
    until = timezone.now() + timedelta(hours=3)
    limits.throttle(ACTOR, "acme", "bulk", 1, until)
    assert f"{until:%Y-%m-%d %H:%M:%S}" in client.get(LIST).content.decode()


def test_who_may_not_pause_cannot_do_it_by_the_form(store: Store, login: Callable[..., Client]) -> None:
    client = login("view_orglimit", "add_orglimit", "change_orglimit")
    client.post(f"{LIST}add/", form(weight="2", paused="on"))
    row = OrgLimit.objects.get()
    assert (row.weight, row.paused) == (2.0, False)
    assert store.paused("bulk") == {}


def test_whose_limit_it_is_does_not_change(store: Store, client: Client) -> None:
    row = limits.set_limit(ACTOR, "acme", "bulk", {"weight": 2})
    client.post(f"{LIST}{row.pk}/change/", form(org="other", queue="standard", weight="3"))
    row.refresh_from_db()
    assert (row.org, row.queue, row.weight) == ("acme", "bulk", 3.0)
