"""`queueops org`, `resource` and `panic`: limits and what holds jobs back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from celery import Celery

from queueops.engine.store import Store
from queueops.models import AuditEntry, OrgLimit
from tests.support import letters
from tests.surfaces.cli.conftest import Run


def test_orgs_are_listed_by_what_waits(app: Celery, store: Store, run: Run) -> None:
    for org, count in (("acme", 1), ("globex", 3)):
        for number in range(count):
            letters.publish(app, number, org=org)

    assert [(one["org"], one["ready"]) for one in run("org", "list", "--json").data] == [
        ("globex", 3),
        ("acme", 1),
    ]
    assert [one["org"] for one in run("org", "list", "--search=acm", "--json").data] == ["acme"]
    assert [one["org"] for one in run("org", "stats", "--limit=1", "--json").data] == ["globex"]
    assert run("org", "stats", "--org=acme", "--json").data["ready"] == 1
    assert "acme" in run("org", "stats", "acme").out


def test_a_limit_is_set_for_a_time_and_reset(app: Celery, run: Run) -> None:
    row = run("org", "set-limit", "--org=acme", "--max=20", "--for", "2h", "--queue=bulk", "--json").data

    until = datetime.fromisoformat(row["valid_until"])
    assert timedelta(minutes=119) < until - datetime.now(UTC) <= timedelta(hours=2)
    assert (row["org"], row["queue"], row["max_in_flight"]) == ("acme", "bulk", 20)
    run("org", "set-limit", "acme", "--rpm", "60", "--burst", "5", "--weight", "2", "--share", "0.5")
    stats = run("org", "stats", "acme", "--json").data
    assert stats["limits"]["bulk"]["fields"]["max_in_flight"]["value"] == 20
    assert stats["limits"]["critical"]["fields"]["rpm"] == {"value": 60.0, "source": "row acme in all queues"}
    assert "0 of 20" in run("org", "stats", "acme").out
    assert run("org", "reset-limit", "--org=acme", "--json").data["count"] == 2
    assert "no limits of its own" in run("org", "reset-limit", "acme").out
    assert "Say at least one limit" in run("org", "set-limit", "acme", code=2).err
    assert "Name the org" in run("org", "set-limit", "--max=1", code=2).err
    assert "weight must be" in run("org", "set-limit", "acme", "--weight=-3", code=1).err


def test_throttle_lowers_a_cap_for_a_time(app: Celery, run: Run) -> None:
    run("org", "throttle", "--org=acme", "--max=5")

    assert OrgLimit.objects.get().max_in_flight == 5
    assert OrgLimit.objects.get().valid_until is not None
    assert [(one.verb, one.surface) for one in AuditEntry.objects.all()] == [("throttle", "cli")]


def test_an_org_is_paused_and_resumed(app: Celery, run: Run) -> None:
    run("org", "pause", "acme", "--queue", "bulk", "--reason", "unpaid")
    [row] = run("org", "list", "bulk", "--json").data
    assert row["paused"]["reason"] == "unpaid"
    assert run("org", "resume", "acme", "--queue", "bulk", "--json").data["count"] == 1
    assert run("org", "resume", "acme", "--queue", "bulk").out == "acme was not paused in bulk.\n"


def test_limits_of_a_resource_are_set_and_reset(app: Celery, run: Run) -> None:
    run("resource", "set-limit", "stripe", "--rate=10/s", "--max=4", "--breaker=on", "--min-calls=5")

    [stripe] = run("resource", "list", "--json").data
    fields = stripe["resolved"]["fields"]
    assert (fields["rate"]["value"], fields["max_in_flight"]["value"]) == (600.0, 4)
    assert "stripe" in run("resource", "list", "stripe").out
    assert run("resource", "reset-limit", "stripe", "--json").data["count"] == 1
    assert "rate" in run("resource", "set-limit", "stripe", "--rate=soon", code=1).err
    assert "Say at least one limit" in run("resource", "set-limit", "stripe", code=2).err


def test_panic_holds_the_jobs_of_a_resource_until_it_is_ended(app: Celery, store: Store, run: Run) -> None:
    letters.publish(app, 1, org="acme", resource="afip")

    assert "No resource is in panic mode" in run("panic", "status").out
    assert run("panic", "on", "afip", "--dry-run", "--json").data["jobs"] == 1
    assert "acme" in run("panic", "on", "afip", "--dry-run").out
    assert run("panic", "status", "--json").data == []
    on = run("panic", "on", "afip", "--for", "30m", "--reason", "AFIP is down", "--json").data
    assert (on["state"], on["by_hand"], on["held"]) == ("open", True, {"standard": 1})
    [seen] = run("panic", "status", "--json").data
    assert (seen["resource"], seen["reason"]) == ("afip", "AFIP is down")
    assert "AFIP is down" in run("panic", "status", "afip").out
    assert run("panic", "off", "afip").out == "afip is open again.\n"
    assert [one["verb"] for one in run("panic", "history", "afip", "--json").data] == ["panic_off", "panic"]
