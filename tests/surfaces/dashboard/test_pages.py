"""Each page: it renders with something on it and with nothing, follows by parts, and needs its permission."""

from __future__ import annotations

import re

import pytest
from celery import Celery
from django.test import Client, override_settings
from django.utils.timezone import now

from queueops.engine.store import Store
from queueops.models import Alert
from queueops.ops import dead_letters, panic
from queueops.ops.permissions import Actor
from tests.support import letters
from tests.surfaces.dashboard.conftest import BASE, Login, register

#: Page -> the permission without which nobody sees it.
PAGES = {
    "": "view_operations",
    "queue/standard/": "view_operations",
    "jobs/": "view_jobs",
    "jobs/stuck/": "view_jobs",
    "letters/": "view_deadletter",
    "orgs/": "view_operations",
    "org/acme/": "view_operations",
    "resources/": "view_operations",
    "resource/stripe/": "view_operations",
    "workers/": "view_operations",
    "schedules/": "view_operations",
    "audit/": "view_auditentry",
    "doctor/": "view_jobs",
}
ME = Actor.shell("maria")


@pytest.fixture
def busy(app: Celery, store: Store) -> str:
    """A queue with a worker, jobs in each state, a letter and a panic; the id of a job that waits."""
    holder = register(store, "standard", slots=2)
    for number in range(3):
        letters.publish(app, number, org="acme", kwargs={"password": "hunter2"})
    letters.publish(app, 9, org="globex", countdown=600)
    letters.publish(app, 9, org="globex", resource="stripe")
    letters.die(store)
    dead_letters.collect_all(store)
    store.claim(["standard"], 1, 0, holder, 1)
    panic.on(ME, "stripe", reason="their status page is red")
    return letters.publish(app, 5, org="acme", kwargs={"password": "hunter2"})


def test_pages_show_what_there_is(client: Client, busy: str) -> None:
    for path in PAGES:
        response = client.get(f"{BASE}{path}")
        page = response.content.decode()
        assert response.status_code == 200, path
        assert "<!DOCTYPE html>" in page and 'id="qd-live"' in page, path
        _strict(page)


def test_pages_say_what_to_do_when_there_is_nothing(client: Client, app: Celery) -> None:
    # The doctor has something to say about any broker that is there for tests only.
    for path in sorted({*PAGES} - {"doctor/"}):
        page = client.get(f"{BASE}{path}").content.decode()
        assert "qd-empty" in page or "qd-banner" in page, path


def test_the_live_part_comes_alone(client: Client, busy: str) -> None:
    for path in PAGES:
        part = client.get(f"{BASE}{path}", headers={"HX-Request": "true"})
        assert part.status_code == 200, path
        assert "<html" not in part.content.decode() and "qd-head" in part.content.decode(), path
        assert "HX-Request" in part.headers["Vary"], path


def test_a_page_needs_its_permission(login: Login, app: Celery) -> None:
    for permission in set(PAGES.values()):
        others = login(*(set(PAGES.values()) - {permission}))
        alone = login(permission)
        for path in (path for path, needed in PAGES.items() if needed == permission):
            refused = others.get(f"{BASE}{path}")
            assert refused.status_code == 403, path
            assert f"queueops.{permission}" in refused.content.decode(), "which permission is missing"
            # A queue's page and an org's show jobs, and letters, only to who may see them.
            assert alone.get(f"{BASE}{path}").status_code == 200, path


def test_somebody_else_is_sent_to_the_login(app: Celery) -> None:
    page = Client().get(BASE)
    assert page.status_code == 302 and "/admin/login/" in page.headers["Location"]
    part = Client().get(BASE, headers={"HX-Request": "true"})
    assert (part.status_code, part.headers["HX-Refresh"]) == (204, "true"), "the part does not become a login"


def test_the_navigation_names_only_what_may_be_opened(login: Login, app: Celery) -> None:
    page = login("view_jobs").get(f"{BASE}jobs/").content.decode()
    navigation = page.partition('class="qd-nav"')[2].partition("</nav>")[0]
    assert re.findall(r">([^<>]+)</a>", navigation) == ["Jobs", "Doctor"]


def test_a_job_is_shown_with_its_reasons_and_its_payload_masked(client: Client, busy: str) -> None:
    page = client.get(f"{BASE}job/{busy}/").content.decode()
    assert "in the lane of acme." in page
    assert "hunter2" not in page and "••••••" in page


def test_without_view_payload_a_job_shows_no_arguments(login: Login, busy: str) -> None:
    page = login("view_jobs").get(f"{BASE}job/{busy}/").content.decode()
    assert "view_payload" in page and "password" not in page


def test_unknown_things_are_404_with_a_sentence(client: Client, app: Celery) -> None:
    job = client.get(f"{BASE}job/nobody/")
    assert job.status_code == 404 and "No job nobody is known" in job.content.decode()
    queue = client.get(f"{BASE}queue/nobody/")
    assert queue.status_code == 404 and "Known queues:" in queue.content.decode()
    assert client.get(f"{BASE}jobs/find/?id=x%2Fy").headers["Location"] == f"{BASE}job/x/y/"
    assert client.get(f"{BASE}jobs/find/?id=").headers["Location"] == f"{BASE}jobs/"
    odd = client.get(f"{BASE}jobs/find/?id=a%0Ab")
    assert odd.status_code == 404 and "No job" in odd.content.decode()
    assert "/login/" in Client().get(f"{BASE}jobs/find/?id=a%0Ab").headers["Location"]


def test_charts_and_tables_have_the_same_time_zone_and_say_which(client: Client, app: Celery) -> None:
    with override_settings(TIME_ZONE="Asia/Kolkata"):
        page = client.get(BASE).content.decode()
    assert 'data-zone="Asia/Kolkata"' in page and "Times are of Asia/Kolkata" in page


def test_alerts_that_hold_stand_above_the_queues(client: Client, app: Celery) -> None:
    alert = Alert.objects.create(
        key="no_worker bulk", kind="no_worker", text="bulk has no worker.", since=now()
    )
    try:
        assert "bulk has no worker." in client.get(BASE).content.decode()
    finally:
        alert.delete()


def test_admin_leads_to_the_queues(client: Client, database: None) -> None:
    page = client.get("/admin/").content.decode()
    assert f'href="{BASE}"' in page and "Queues, live" in page


def _strict(page: str) -> None:
    """Nothing that a strict Content-Security-Policy refuses: no script or style in the page itself."""
    assert not re.search(r"<[^>]*\son[a-z]+=", page), "an event handler in an attribute"
    assert not re.search(r"<[^>]*\sstyle=", page), "a style in an attribute"
    assert "<style" not in page
    for script in re.findall(r"<script\b[^>]*>", page):
        assert "src=" in script or 'type="application/json"' in script, script
    for address in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert not address.startswith(("http:", "https:", "//")), address
