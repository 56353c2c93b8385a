"""Every command answers with JSON that can be read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from celery import Celery
from django.contrib.auth.models import User

from queueops.cli.reference import leaves
from queueops.engine.store import Store
from queueops.models import AuditEntry, DeadLetter
from queueops.ops import dead_letters, schedules
from queueops.ops.permissions import Actor
from tests.support import letters
from tests.surfaces.cli.conftest import Run

#: Each command with arguments that work on the scene below, and its exit code where that is not 0.
#: {job}, {letter}, {file} stand for what the scene has made.
CALLS: Mapping[str, tuple[str, int]] = {
    "queue list": ("", 0),
    "queue status": ("standard", 0),
    "queue metrics": ("", 0),
    "queue health": ("", 6),
    "queue pause": ("bulk --for 30m", 0),
    "queue resume": ("bulk --ramp 10m", 0),
    "queue drain": ("standard --delay 24h --dry-run", 0),
    "queue stuck": ("--older-than 10m", 0),
    "queue unstick": ("standard --dry-run", 0),
    "queue failures": ("--limit 20", 0),
    "queue tasks": ("--hours 168", 0),
    "queue error-summary": ("standard", 0),
    "queue throughput": ("standard --minutes 5", 0),
    "queue slow-jobs": ("", 0),
    "job list": ("--state ready", 0),
    "job overdue": ("", 0),
    "job info": ("{job}", 0),
    "job explain": ("{job}", 0),
    "job submit": ("tasks.maintenance.clean_results --in 10m", 0),
    "job wait": ("{job} --timeout 10ms", 1),
    "job retry": ("{job}", 1),
    "job cancel": ("{job} --yes", 0),
    "job hold": ("{job}", 0),
    "job release": ("{job}", 1),
    "dlq list": ("--org acme", 0),
    "dlq show": ("{letter}", 0),
    "dlq groups": ("", 0),
    "dlq export": ("--output {file}", 0),
    "dlq import": ("{file}", 0),
    "dlq replay": ("{letter}", 0),
    "dlq discard": ("{letter} --yes", 0),
    "dlq purge": ("--days 30 --yes", 0),
    "org list": ("", 0),
    "org stats": ("acme", 0),
    "org set-limit": ("acme --max 20 --for 2h", 0),
    "org reset-limit": ("acme", 0),
    "org throttle": ("acme --max 5", 0),
    "org pause": ("acme", 0),
    "org resume": ("acme", 0),
    "org forget": ("acme --dry-run", 0),
    "resource list": ("", 0),
    "resource set-limit": ("stripe --rate 10/s", 0),
    "resource reset-limit": ("stripe", 0),
    "panic status": ("stripe", 0),
    "panic on": ("stripe --reason down", 0),
    "panic off": ("stripe", 0),
    "panic history": ("stripe", 0),
    "worker status": ("", 0),
    "worker start": ("bulk --slots 8", 0),
    "worker scale": ("bulk 4", 1),
    "worker wanted": ("bulk", 0),
    "worker quiet": ("--all", 0),
    "worker unquiet": ("--all", 0),
    "worker restart": ("--all --yes", 0),
    "worker stop": ("--all --yes", 0),
    "schedule list": ("", 0),
    "schedule show": ("nightly", 0),
    "schedule add": ("hourly tasks.maintenance.clean_results --every 1h", 0),
    "schedule enable": ("nightly", 0),
    "schedule disable": ("nightly", 0),
    "schedule run-now": ("nightly", 0),
    "system doctor": ("", 6),
    "system check": ("--no-broker", 0),
    "system alerts": ("", 0),
    "system config show": ("lease", 0),
    "system recover": ("--seconds 10ms", 0),
    "system cleanup": ("--days 30 --yes", 0),
    "audit list": ("--limit 5", 0),
    "token list": ("", 0),
    "token create": ("maria ci --for 90d", 0),
    "token revoke": ("4711 --yes", 0),
}


@pytest.fixture
def scene(app: Celery, store: Store, tmp_path: Path) -> dict[str, str]:
    """A job that waits, a letter, a schedule, an account."""
    letters.publish(app, 1, org="acme")
    letters.die(store)
    dead_letters.collect_all(store)
    schedules.add(Actor.shell("maria"), "nightly", "tasks.maintenance.clean_results", cron="0 0 * * *")
    User.objects.create_user("maria", is_superuser=True)
    file = tmp_path / "letters.jsonl"
    file.touch()
    return {
        "job": letters.publish(app, 2, org="acme"),
        "letter": str(DeadLetter.objects.get().pk),
        "file": str(file),
    }


@pytest.mark.parametrize("command", CALLS)
def test_the_answer_can_be_read(scene: dict[str, str], run: Run, command: str) -> None:
    arguments, code = CALLS[command]

    ran = run(*command.split(), *arguments.format(**scene).split(), "--json", code=code)

    assert ran.data is not None
    assert ran.err == ""


def test_no_command_is_missing_here(app: Celery) -> None:
    there = {" ".join(path) for path, _ in leaves() if path != ("completion",)}
    # It serves until it is ended, and has no answer.
    there -= {"metrics serve"}

    assert there == set(CALLS)


def test_without_permissions_no_command_does_anything(scene: dict[str, str], run: Run) -> None:
    User.objects.create_user("nobody")
    before = AuditEntry.objects.count()

    for command, (arguments, _) in CALLS.items():
        ran = run(*command.split(), *arguments.format(**scene).split(), "--user=nobody", code=5)
        assert ran.out == "", command
        assert "nobody needs the permission" in ran.err or "of their own only" in ran.err, command

    assert AuditEntry.objects.count() == before
