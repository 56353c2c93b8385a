"""Endpoints and deliveries in admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from tasks.signing import new_secret

from .receiver import Receiver

if TYPE_CHECKING:
    from tasks.models import Endpoint


@pytest.fixture
def operator(database: None) -> Client:
    """Somebody who may do everything."""
    from django.contrib.auth.models import User

    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client


@pytest.fixture
def reader(database: None) -> Client:
    """Somebody who may look at endpoints and deliveries."""
    from django.contrib.auth.models import Permission, User

    user = User.objects.create_user("reader", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=("view_endpoint", "view_delivery")))
    client = Client()
    client.force_login(user)
    return client


def form(endpoint: Endpoint, **changes: Any) -> dict[str, Any]:
    fields = {"org": endpoint.org, "url": endpoint.url, "description": "", "secret": ""}
    return {**fields, "active": "on", "allow_private": "on", **changes}


def page(endpoint: Endpoint) -> str:
    return f"/admin/tasks/endpoint/{endpoint.pk}/change/"


def test_a_new_endpoint_shows_its_secret_once(operator: Client) -> None:
    from tasks.models import Endpoint

    shown = operator.get("/admin/tasks/endpoint/add/").content.decode()
    assert "whsec_" in shown
    secret = new_secret()
    made = Endpoint(org="acme", url="https://hooks.example/", secret=secret)
    answer = operator.post("/admin/tasks/endpoint/add/", {**form(made), "secret": secret})
    assert answer.status_code == 302
    assert Endpoint.objects.get().secret == secret


def test_the_secret_is_kept_replaced_and_never_shown_again(operator: Client, endpoint: Endpoint) -> None:
    assert endpoint.secret not in operator.get(page(endpoint)).content.decode()

    assert operator.post(page(endpoint), form(endpoint, description="main")).status_code == 302
    before = endpoint.secret
    endpoint.refresh_from_db()
    assert (endpoint.secret, endpoint.description) == (before, "main")

    secret = new_secret()
    operator.post(page(endpoint), form(endpoint, secret=secret))
    endpoint.refresh_from_db()
    assert endpoint.secret == secret


def test_a_bad_url_or_secret_is_refused_in_the_form(operator: Client, endpoint: Endpoint) -> None:
    for change, reason in (
        ({"url": "http://169.254.169.254/"}, "link-local"),
        ({"secret": "guess"}, "begins with whsec_"),
    ):
        shown = operator.post(page(endpoint), form(endpoint, **change))
        assert shown.status_code == 200
        assert reason in shown.content.decode()


def test_who_may_only_look_does_not_see_the_secret(reader: Client, endpoint: Endpoint) -> None:
    shown = reader.get(page(endpoint)).content.decode()
    assert endpoint.url in shown
    assert "whsec_" not in shown
    assert endpoint.secret not in shown


def test_endpoints_are_switched_off_and_on(operator: Client, endpoint: Endpoint) -> None:
    for action, active in (("switch_off", False), ("switch_on", True)):
        operator.post("/admin/tasks/endpoint/", {"action": action, "_selected_action": [endpoint.pk]})
        endpoint.refresh_from_db()
        assert endpoint.active is active


def test_deliveries_are_read_and_not_edited(operator: Client, endpoint: Endpoint, receiver: Receiver) -> None:
    from tasks.models import Delivery

    from .test_webhooks import run

    run(endpoint)
    row = Delivery.objects.get()
    assert row.event_id in operator.get(f"/admin/tasks/delivery/{row.pk}/change/").content.decode()
    assert "issues.opened" in operator.get("/admin/tasks/delivery/?q=event-1").content.decode()
    assert operator.get("/admin/tasks/delivery/add/").status_code == 403
    assert operator.post(f"/admin/tasks/delivery/{row.pk}/change/", {"outcome": "failed"}).status_code == 403
