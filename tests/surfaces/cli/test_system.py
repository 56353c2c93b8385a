"""`queueops system`, `schedule`, `audit`, `token`: the rest of an operator's day."""

from __future__ import annotations

from datetime import UTC, datetime

from celery import Celery
from django.contrib.auth.models import User

from queueops.engine.store import Store
from queueops.models import ApiToken, AuditEntry
from queueops.ops import broker
from tests.support import letters
from tests.surfaces.cli.conftest import Run

TASK = "tasks.maintenance.clean_results"


def test_a_schedule_is_added_switched_and_run_now(app: Celery, run: Run) -> None:
    with broker.store() as store:
        run("schedule", "add", "nightly", TASK, "--cron", "0 0 * * *", "--zone=Europe/Berlin", "--org=acme")
        run("schedule", "add", "often", TASK, "--every=10m", "--kwargs", '{"days": 7}', "--disabled")
        run("schedule", "add", "once", TASK, "--at", "2030-01-01T08:00+00:00")

        rows = run("schedule", "list", "--json").data
        assert [one["name"] for one in rows] == ["nightly", "often", "once"]
        assert [one["when"] for one in rows][:2] == ["0 0 * * * Europe/Berlin", "every 10 minutes"]
        assert [one["enabled"] for one in rows] == [True, False, True]
        assert [one["name"] for one in run("schedule", "list", "--limit=1", "--after=nightly", "--json").data]
        assert "often" in run("schedule", "show", "often").out
        assert run("schedule", "enable", "often").out == "Enabled: often.\n"
        assert run("schedule", "enable", "often").out == "They were enabled already.\n"
        assert run("schedule", "disable", "nightly", "once", "--json").data["count"] == 2
        [task_id] = run("schedule", "run-now", "nightly", "--json").data["task_ids"]
        job = store.job(task_id)
    assert job is not None
    assert job.head.org == "acme"
    assert "this is no JSON" in run("schedule", "add", "x", TASK, "--args=[1", code=2).err
    assert "say a JSON list" in run("schedule", "add", "x", TASK, "--args={}", code=2).err
    assert "cron" in run("schedule", "add", "x", TASK, code=1).err


def test_doctor_finds_and_mends(app: Celery, store: Store, run: Run) -> None:
    letters.publish(app, 1)
    assert run("system", "doctor", "--json", code=6).data["healthy"] is False  # a server that keeps no file
    with broker.store() as found:
        found.client.delete("standard")

    told = run("system", "doctor", code=6)
    assert "depth list" in told.out
    mended = run("system", "doctor", "--repair", "--json", code=6).data
    assert "depth list" in {one["kind"] for one in mended["before"]["findings"]}
    assert "depth list" not in {one["kind"] for one in mended["after"]["findings"]}


def test_settings_are_checked_and_shown_with_their_source(app: Celery, run: Run) -> None:
    [weight] = run("system", "config", "show", "QUEUES.webhooks.weight", "--json").data
    assert weight["source"]
    assert "LEASE_SECONDS" in run("system", "config", "show").out
    assert run("system", "check", "--no-broker").out == "Nothing is wrong.\n"


def test_recover_and_cleanup_say_what_they_did(app: Celery, run: Run) -> None:
    assert run("system", "recover").out == "0 leases ended.\n"
    assert "say --yes" in run("system", "cleanup", code=2).err
    told = "0 rows would be deleted: nothing to delete. Nothing was done.\n"
    assert run("system", "cleanup", "--dry-run").out == told
    assert run("system", "cleanup", "--yes").out == "0 rows deleted: nothing to delete.\n"
    assert "say --yes" in run("system", "cleanup", "--days=30", code=2).err
    assert run("system", "cleanup", "--days=30", "--yes", "--json").data["count"] == 0


def test_the_audit_log_is_listed_in_pages(app: Celery, run: Run) -> None:
    for queue in ("bulk", "standard", "critical"):
        run("queue", "pause", queue)

    newest, middle = run("audit", "list", "--limit=2", "--json").data
    assert (newest["target"], middle["target"], newest["surface"]) == (
        "queue critical",
        "queue standard",
        "cli",
    )
    assert f"--after {middle['id']}" in run("audit", "list", "--limit=2").out
    [oldest] = run("audit", "list", "--after", str(middle["id"]), "--json").data
    assert oldest["target"] == "queue bulk"
    assert run("audit", "list", "--verb=replay", "--json").data == []


def test_a_token_is_made_listed_and_revoked(app: Celery, run: Run) -> None:
    User.objects.create_user("maria")

    secret = run("token", "create", "maria", "deploy", "--scope=operate", "--for=90d").out.strip()
    assert secret.startswith("qo_")
    [row] = run("token", "list", "--json").data
    assert (row["user"], row["name"], row["scope"]) == ("maria", "deploy", "operate")
    assert datetime.fromisoformat(row["expires_at"]) > datetime.now(UTC)
    assert "digest" not in row
    assert run("token", "revoke", str(row["id"]), "--yes").out == "1 token revoked.\n"
    assert ApiToken.objects.get().revoked_at is not None


def test_a_job_is_submitted_and_waited_for(app: Celery, store: Store, run: Run) -> None:
    said = run("job", "submit", TASK, "--org=acme", "--in=10m", "--priority=high", "--json").data
    assert (said["state"], said["org"]) == ("scheduled", "acme")
    assert (
        run("job", "wait", said["task_id"], "--timeout=10ms", "--json", code=1).data["state"] == "scheduled"
    )
    again = [run("job", "submit", TASK, "--unique-key=x", "--json").data["task_id"] for _ in range(2)]
    assert again[0] == again[1]


def test_an_org_is_forgotten(app: Celery, store: Store, run: Run) -> None:
    letters.publish(app, 1, org="acme")
    run("org", "set-limit", "acme", "--max=3")

    assert run("org", "forget", "acme", "--dry-run", "--json").data["cancelled"] == 1
    assert "say --yes" in run("org", "forget", "acme", code=2).err
    done = run("org", "forget", "--org=acme", "--yes", "--json").data

    assert (done["cancelled"], done["limits_removed"]) == (1, 1)
    assert store.queue_snapshot("standard").ready == 0
    assert not AuditEntry.objects.filter(target__contains="acme").exists()
