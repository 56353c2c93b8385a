"""What a person sees while the broker or the database is away: a page that says so, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections
from django.test import Client

from queueops.models import AuditEntry
from tests.support import site
from tests.support.valkey import Valkey
from tests.surfaces.dashboard.conftest import BASE, Login


@pytest.fixture
def no_broker(database: None) -> Iterator[None]:
    server = Valkey()
    with site.celery_app(server.broker_url):
        server.close()
        yield


def test_without_the_broker_a_banner_says_so_and_the_page_goes_on_asking(
    client: Client, no_broker: None
) -> None:
    for path in ("", "queue/standard/", "jobs/", "orgs/", "org/acme/", "resources/", "workers/", "doctor/"):
        page = client.get(f"{BASE}{path}")
        told = page.content.decode()
        assert page.status_code == 503, path
        assert "The broker does not answer" in told and "Nothing is known to be lost" in told, path
        assert "data-live" in told, "it comes back by itself"
    part = client.get(BASE, headers={"HX-Request": "true"})
    assert part.status_code == 503 and "The broker does not answer" in part.content.decode()


def test_what_is_in_the_database_can_be_read_without_the_broker(client: Client, no_broker: None) -> None:
    for path in ("letters/", "audit/", "schedules/"):
        assert client.get(f"{BASE}{path}").status_code == 200, path


def test_a_button_says_that_the_broker_is_away(client: Client, no_broker: None) -> None:
    pressed = client.post(
        f"{BASE}do/pause_queue/", {"queue": "standard", "next": f"{BASE}audit/"}, follow=True
    )
    assert "Pause was not done. The broker does not answer" in pressed.content.decode()
    assert not AuditEntry.objects.exists()


def test_without_the_database_the_page_says_why_nobody_is_let_in(login: Login) -> None:
    client = login(superuser=True)
    connection = connections["default"]
    name = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = "/nonexistent/folder/db.sqlite3"
    try:
        for path in ("", "letters/", "audit/"):
            page = client.get(f"{BASE}{path}")
            assert page.status_code == 503, path
            assert "The database does not answer" in page.content.decode(), path
        pressed = client.post(f"{BASE}do/pause_queue/", {"queue": "standard"})
        assert pressed.status_code == 503
    finally:
        connection.close()
        connection.settings_dict["NAME"] = name
    assert client.get(f"{BASE}audit/").status_code == 200
