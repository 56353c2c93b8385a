"""An entry of the schedule in admin: whose jobs it makes, checked before beat meets it."""

from __future__ import annotations

from typing import Any

from celery import Celery
from django.test import Client
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from queueops.models import AuditEntry
from queueops.ops import broker
from queueops.ops.schedule_entry import own_options
from tests.surfaces.conftest import Login

LIST = "/admin/django_celery_beat/periodictask/"


def form(**fields: Any) -> dict[str, Any]:
    every, _ = IntervalSchedule.objects.get_or_create(every=1, period="hours")
    known = {
        "name": "nightly", "task": "shop.note", "interval": every.pk, "enabled": "on",
        "args": "[]", "kwargs": "{}", "headers": "{}",
    }  # fmt: skip
    return {**known, **fields}


def test_an_entry_gets_an_org_and_a_resource_and_keeps_its_other_headers(app: Celery, client: Client) -> None:
    PeriodicTask.objects.all().delete()
    answer = client.post(
        f"{LIST}add/", form(org="acme", resource="stripe", queue="bulk", priority=1, headers='{"mine": 1}')
    )
    assert answer.status_code == 302, answer.content.decode()
    row = PeriodicTask.objects.get()
    assert own_options(row.headers) == {"org": "acme", "resource": "stripe"}
    page = client.get(f"{LIST}{row.pk}/change/").content.decode()
    assert 'value="acme"' in page and 'value="stripe"' in page
    client.post(f"{LIST}{row.pk}/change/", form(org="globex", headers=row.headers))
    row.refresh_from_db()
    assert own_options(row.headers) == {"org": "globex"} and '"mine": 1' in row.headers
    assert "globex" in client.get(LIST).content.decode()
    # And one is sent by hand
    told = client.post(LIST, {"action": "run_tasks", "_selected_action": [row.pk]}, follow=True)
    assert "1 sent." in told.content.decode()
    with broker.store() as store:
        [job] = store.claim(["bulk"], 10, 0, "page", 1).jobs
    assert (job.org, job.task) == ("globex", "shop.note")
    assert AuditEntry.objects.get().verb == "run_now"
    row.delete()


def test_what_beat_could_not_send_is_refused_in_the_form(app: Celery, client: Client) -> None:
    for fields in ({"org": "no org"}, {"queue": "nowhere"}, {"priority": 11}, {"headers": "[1]"}):
        answer = client.post(f"{LIST}add/", form(**fields))
        assert answer.status_code == 200 and "errorlist" in answer.content.decode(), fields
    assert not PeriodicTask.objects.filter(name="nightly").exists()


def test_whoever_may_change_entries_may_not_run_them_without_the_permission(
    app: Celery, login: Login
) -> None:
    from django.contrib.auth.models import Permission, User

    PeriodicTask.objects.all().delete()
    every = IntervalSchedule.objects.create(every=1, period="hours")
    row = PeriodicTask.objects.create(name="nightly", task="shop.note", interval=every)
    changes = Permission.objects.filter(codename__in=("view_periodictask", "change_periodictask"))
    run = {"action": "run_tasks", "_selected_action": [row.pk]}
    for codenames, count in (((), 0), (("operate_schedule",), 1)):
        person = login(*codenames)
        User.objects.get(username=f"maria-{len(codenames)}").user_permissions.add(*changes)
        assert person.post(LIST, run, follow=True).status_code == 200
        assert AuditEntry.objects.filter(verb="run_now").count() == count
    row.delete()


def test_an_entry_that_cannot_be_sent_is_told_and_breaks_no_page(app: Celery, client: Client) -> None:
    PeriodicTask.objects.all().delete()
    every = IntervalSchedule.objects.create(every=1, period="hours")
    row = PeriodicTask.objects.create(name="odd", task="shop.note", interval=every, queue="nowhere")
    told = client.post(LIST, {"action": "run_tasks", "_selected_action": [row.pk]}, follow=True)
    assert "It stopped there" in told.content.decode()
    row.delete()
