"""The audit log is read and never changed."""

from __future__ import annotations

from django.test import Client

from queueops.models import AuditEntry
from queueops.ops import audit
from queueops.ops.permissions import Actor
from tests.surfaces.conftest import Login

LIST = "/admin/queueops/auditentry/"


def test_entries_are_listed_filtered_and_shown_without_secrets(client: Client, database: None) -> None:
    audit.record(Actor.shell("maria"), "replay", "letter 5", {"token": "hush", "letters": [5]}, 1)
    entry = audit.record(Actor.system(), "expire_limit", "acme in bulk", {"note": "storm"}, 1)
    page = client.get(LIST).content.decode()
    assert "letter 5" in page and "acme in bulk" in page
    filtered = client.get(f"{LIST}?verb=expire_limit").content.decode()
    assert "acme in bulk" in filtered and "letter 5" not in filtered
    shown = client.get(f"{LIST}{entry.pk}/change/").content.decode()
    assert "storm" in shown
    assert AuditEntry.objects.get(verb="replay").parameters == {"token": "••••••", "letters": [5]}


def test_arguments_of_jobs_are_for_who_may_see_payloads(login: Login, database: None) -> None:
    entry = audit.record(
        Actor.shell("maria"), "enqueue", "task shop.note", {"args": ["hush"], "queue": "bulk"}
    )
    for codenames, seen in ((("view_auditentry",), False), (("view_auditentry", "view_payload"), True)):
        person = login(*codenames)
        for path in (f"{LIST}{entry.pk}/change/", "/admin/queues/audit/"):
            page = person.get(path).content.decode()
            assert "bulk" in page and ("hush" in page) is seen, path


def test_nobody_adds_changes_or_deletes_an_entry(client: Client, database: None) -> None:
    entry = audit.record(Actor.shell("maria"), "replay", "letter 5")
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{LIST}{entry.pk}/change/", {"who": "nobody"}).status_code == 403
    assert client.post(f"{LIST}{entry.pk}/delete/", {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [entry.pk], "post": "yes"}
    client.post(LIST, chosen)
    assert AuditEntry.objects.get().who == "maria"


def test_lookups_that_are_no_filter_are_refused(client: Client, database: None) -> None:
    assert client.get(f"{LIST}?parameters__token__startswith=a").status_code == 400
