"""Who may not press a button does not see it, and is refused when asking anyhow."""

from __future__ import annotations

import re

import pytest
from celery import Celery

from queueops.dashboard import urls  # noqa: F401  registers the actions
from queueops.dashboard.actions import ACTIONS
from queueops.engine.store import Store
from queueops.models import AuditEntry, DeadLetter, OrgLimit
from queueops.ops import dead_letters, panic, queues
from queueops.ops.permissions import Actor
from tests.support import letters
from tests.surfaces.dashboard.conftest import BASE, Login, register

VIEWS = ("view_operations", "view_jobs", "view_deadletter", "view_auditentry")
#: A valid form of any action is among these fields; those that it does not know are passed over.
FIELDS = {
    "queue": "standard",
    "task": "shop.deliver",
    "task_id": "x",
    "org": "acme",
    "resource": "stripe",
    "name": "all-1@app-1",
    "sure": "standard",
    "hours": "1",
    "fingerprint": "0123456789abcdef",
    "letter": "1",
    "canary": "1",
    "max_in_flight": "1",
    "minutes": "60",
    "rate": "1/s",
    "count": "1",
    "id": "1",
    "cron": "* * * * *",
}


def test_without_the_permission_a_post_is_refused_and_changes_nothing(
    login: Login, app: Celery, store: Store
) -> None:
    letters.row().save()
    job = letters.publish(app, 1, org="acme")
    needed = {permission for one in ACTIONS.values() for permission in one.permissions}
    all_of_them = {permission.partition(".")[2] for permission in needed} | {*VIEWS}
    for permission in sorted(needed):
        person = login(*(all_of_them - {permission.partition(".")[2]}))
        for name in (name for name, one in ACTIONS.items() if permission in one.permissions):
            refused = person.post(f"{BASE}do/{name}/", {**FIELDS, "task_id": job})

            assert refused.status_code == 403, name
            assert permission in refused.content.decode(), name
            assert not AuditEntry.objects.exists() and not OrgLimit.objects.exists(), name
            assert DeadLetter.objects.get().status == "parked", name
            seen = store.queue_snapshot("standard")
            assert (seen.ready, seen.paused) == (1, None), name


@pytest.fixture
def everything(app: Celery, store: Store) -> str:
    """Something for each button; returns the id of a job that is held."""
    me = Actor.shell("maria")
    register(store, "standard")
    for number in range(3):
        letters.publish(app, number, org="acme")
    letters.die(store)
    dead_letters.collect_all(store)
    letters.claim(store)
    queues.pause(me, "bulk")
    panic.on(me, "stripe")
    return letters.publish(app, 7, org="acme", countdown=600)


def test_buttons_are_drawn_only_for_who_may(login: Login, everything: str) -> None:
    pages = ("", "queue/standard/", "queue/bulk/", "jobs/", "jobs/stuck/?minutes=0", "letters/", "org/acme/")
    pages += (f"job/{everything}/", "resources/", "resource/stripe/", "workers/", "schedules/", "doctor/")
    nobody, everybody = login(*VIEWS), login(superuser=True)
    drawn: set[str] = set()
    for path in pages:
        assert "/do/" not in nobody.get(f"{BASE}{path}").content.decode(), path
        drawn |= set(re.findall(r"/do/(\w+)/", everybody.get(f"{BASE}{path}").content.decode()))
    # Those that need a state that is not here: a task that is paused, a worker that is quiet, and so on.
    assert len(drawn) > len(ACTIONS) / 2, sorted(set(ACTIONS) - drawn)


def test_a_button_is_drawn_only_for_who_has_all_that_it_needs(login: Login, app: Celery) -> None:
    for codenames, drawn in (
        (("export_deadletter",), set()),
        (("view_payload", "enqueue_job"), set()),
        (("export_deadletter", "view_payload"), {"export_letters"}),
        (("export_deadletter", "enqueue_job"), {"import_letters"}),
    ):
        page = login("view_deadletter", *codenames).get(f"{BASE}letters/").content.decode()
        assert set(re.findall(r"/do/(\w+)/", page)) == drawn, codenames


def test_one_permission_draws_one_kind_of_button(login: Login, everything: str) -> None:
    page = login("view_operations", "pause_queue").get(f"{BASE}queue/standard/").content.decode()
    assert set(re.findall(r"/do/(\w+)/", page)) == {"pause_queue"}
