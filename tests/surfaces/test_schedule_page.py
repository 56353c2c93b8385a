"""An entry of the schedule in admin: whose jobs it makes, checked before beat meets it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import Celery
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from queueops.models import AuditEntry
from queueops.ops import broker
from queueops.ops.schedule_entry import ScheduledEntry, own_options
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
    said = AuditEntry.objects.order_by("pk").values_list("verb", "target", "surface")
    assert list(said) == [(verb, "schedule nightly", "admin") for verb in ("add", "change", "run_now")]
    assert "org" in AuditEntry.objects.get(verb="change").parameters["fields"]
    client.post(f"{LIST}{row.pk}/delete/", {"post": "yes"})
    assert not PeriodicTask.objects.exists() and AuditEntry.objects.filter(verb="delete").count() == 1


def test_what_beat_could_not_send_is_refused_in_the_form(app: Celery, client: Client) -> None:
    for fields in ({"org": "no org"}, {"queue": "nowhere"}, {"priority": 11}, {"headers": "[1]"}):
        answer = client.post(f"{LIST}add/", form(**fields))
        assert answer.status_code == 200 and "errorlist" in answer.content.decode(), fields
    assert not PeriodicTask.objects.filter(name="nightly").exists()


def test_whoever_may_change_entries_does_nothing_to_them_without_the_permission(
    app: Celery, login: Login
) -> None:
    from django.contrib.auth.models import Permission, User

    PeriodicTask.objects.all().delete()
    every = IntervalSchedule.objects.create(every=1, period="hours")
    row = PeriodicTask.objects.create(name="nightly", task="shop.note", interval=every)
    changes = Permission.objects.filter(content_type__model="periodictask")
    tries = (
        ("run_now", LIST, {"action": "run_tasks", "_selected_action": [row.pk]}),
        ("disable", LIST, {"action": "disable_tasks", "_selected_action": [row.pk]}),
        ("enable", LIST, {"action": "enable_tasks", "_selected_action": [row.pk]}),
        ("add", f"{LIST}add/", form(name="other")),
        ("change", f"{LIST}{row.pk}/change/", form(queue="bulk")),
        ("delete", LIST, {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}),
    )
    before = list(PeriodicTask.objects.values())
    for codenames, count in (((), 0), (("operate_schedule",), 1)):
        person = login(*codenames)
        User.objects.get(username=f"maria-{len(codenames)}").user_permissions.add(*changes)
        for verb, path, body in tries:
            assert person.post(path, body, follow=True).status_code == (200 if count or path == LIST else 403)
            assert AuditEntry.objects.filter(verb=verb).count() == count, verb
        assert count or list(PeriodicTask.objects.values()) == before
    assert [entry.name for entry in PeriodicTask.objects.all()] == ["other"]
    PeriodicTask.objects.all().delete()


def test_who_may_only_look_at_entries_sees_one(app: Celery, login: Login) -> None:
    from django.contrib.auth.models import Permission, User

    every = IntervalSchedule.objects.create(every=1, period="hours")
    row = PeriodicTask.objects.create(name="nightly", task="shop.note", interval=every, priority=8)
    person = login()
    User.objects.get().user_permissions.add(*Permission.objects.filter(codename="view_periodictask"))
    page = person.get(f"{LIST}{row.pk}/change/")
    assert page.status_code == 200 and "shop.note" in page.content.decode()
    assert "_save" not in page.content.decode()
    row.delete()


def test_what_passed_while_an_entry_was_disabled_in_admin_is_not_made_up_for(
    app: Celery, client: Client
) -> None:
    PeriodicTask.objects.all().delete()
    every, _ = IntervalSchedule.objects.get_or_create(every=1, period="hours")
    sent = timezone.now() - timedelta(days=1)
    row = PeriodicTask.objects.create(name="nightly", task="shop.note", interval=every, last_run_at=sent)
    assert "toggle_tasks" not in client.get(LIST).content.decode()
    for action, word in (("disable_tasks", "1 disabled."), ("enable_tasks", "1 enabled.")):
        told = client.post(LIST, {"action": action, "_selected_action": [row.pk]}, follow=True)
        assert word in told.content.decode()
    row.refresh_from_db()
    assert row.enabled and ScheduledEntry(row, app=app).due(timezone.now())[0] is None
    row.delete()


def test_an_entry_that_cannot_be_sent_is_told_and_breaks_no_page(app: Celery, client: Client) -> None:
    PeriodicTask.objects.all().delete()
    every = IntervalSchedule.objects.create(every=1, period="hours")
    row = PeriodicTask.objects.create(name="odd", task="shop.note", interval=every, queue="nowhere")
    told = client.post(LIST, {"action": "run_tasks", "_selected_action": [row.pk]}, follow=True)
    assert "It stopped there" in told.content.decode()
    row.delete()


def test_a_time_that_entries_share_is_changed_and_deleted_with_permission_and_audit(
    app: Celery, login: Login
) -> None:
    from django.contrib.auth.models import Permission, User

    PeriodicTask.objects.all().delete()
    every = IntervalSchedule.objects.create(every=2, period="hours")
    PeriodicTask.objects.create(name="nightly", task="shop.note", interval=every)
    path = f"/admin/django_celery_beat/intervalschedule/{every.pk}"
    inline = {f"periodictask_set-{name}_FORMS": 0 for name in ("TOTAL", "INITIAL")}
    changes = Permission.objects.filter(content_type__app_label="django_celery_beat")
    for codenames, status in (((), 403), (("operate_schedule",), 302)):
        person = login(*codenames)
        User.objects.get(username=f"maria-{len(codenames)}").user_permissions.add(*changes)
        for word, body in (
            ("change", {"every": 3, "period": "hours", **inline}),
            ("delete", {"post": "yes"}),
        ):
            assert person.post(f"{path}/{word}/", body).status_code == status
    said = list(AuditEntry.objects.order_by("pk").values_list("verb", "target", "parameters"))
    assert said == [
        ("change", "time every 3 hours", {"schedules": ["nightly"], "fields": ["every"]}),
        ("delete", "time every 3 hours", {"schedules": ["nightly"]}),
    ]
    assert not PeriodicTask.objects.exists()
