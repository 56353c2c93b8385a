"""The audit log, read."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from queueops.models import AuditEntry
from queueops.ops import audit, audit_log
from queueops.ops.masking import MASK
from queueops.ops.permissions import Actor

ME = Actor.shell("maria")


def targets(**asked: object) -> list[str]:
    return [entry.target for entry in audit_log.listed(ME, **asked)]  # type: ignore[arg-type]


def test_entries_are_filtered_and_the_newest_come_first(database: None) -> None:
    audit.record(ME, "pause", "queue bulk")
    audit.record(Actor.system("breaker"), "panic", "resource mail")
    audit.record(ME, "resume", "queue Bulk")

    assert targets() == ["queue Bulk", "resource mail", "queue bulk"]
    assert targets(verb="panic") == targets(who="breaker") == targets(surface="system") == ["resource mail"]
    assert targets(target="BULK", surface="cli") == ["queue Bulk", "queue bulk"]
    assert targets(target="bulk", verb="pause") == ["queue bulk"]
    assert targets(who="nobody") == []


def test_arguments_of_jobs_are_for_who_may_see_payloads(database: None) -> None:
    from django.contrib.auth.models import Permission, User

    audit.record(
        ME, "enqueue", "task shop.note", {"queue": "bulk", "args": ["hush"], "kwargs": {"n": "hush"}}
    )
    told = {}
    for codenames in (("view_auditentry",), ("view_auditentry", "view_payload")):
        user = User.objects.create_user(codenames[-1])
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        [entry] = audit_log.listed(Actor.of(user, AuditEntry.Surface.API))
        told[codenames[-1]] = entry.parameters
    assert told["view_auditentry"] == {"queue": "bulk", "args": MASK, "kwargs": MASK}
    assert told["view_payload"]["args"] == audit_log.listed(ME)[0].parameters["args"] == ["hush"]


def test_pages_go_on_where_the_last_one_ended(database: None) -> None:
    now = timezone.now()
    for number in range(7):  # those of one moment are told apart by their ids
        entry = audit.record(ME, "pause", f"queue {number}")
        AuditEntry.objects.filter(pk=entry.pk).update(at=now - timedelta(seconds=number // 3))
    wanted = targets()

    found: list[str] = []
    before: int | None = None
    while page := audit_log.listed(ME, limit=2, before=before):
        found += [entry.target for entry in page]
        before = page[-1].pk

    assert found == wanted and len(found) == 7
    gone = audit_log.listed(ME, limit=1)[0]
    AuditEntry.objects.filter(pk=gone.pk).delete()
    older = [entry.pk for entry in audit_log.listed(ME, before=gone.pk)]
    assert older == [entry.pk for entry in audit_log.listed(ME) if entry.pk < gone.pk]
    assert len(targets(limit=0)) == 1


def test_who_may_not_see_it(database: None) -> None:
    with pytest.raises(PermissionDenied, match="view_auditentry"):
        audit_log.listed(Actor.of(AnonymousUser(), AuditEntry.Surface.API))
