"""What goes wrong is one line on stderr and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from celery import Celery
from click.testing import CliRunner
from django.contrib.auth.models import Permission, User

from queueops.cli.failures import CODES
from queueops.cli.verbs import Answer, Call, Verb
from queueops.models import AuditEntry
from tests.support import letters, site
from tests.support.ports import free_port
from tests.surfaces.cli.conftest import Run


@pytest.fixture
def no_broker(database: None) -> Iterator[Celery]:
    with site.celery_app(f"queueops://127.0.0.1:{free_port()}/0") as made:
        yield made


def one_line(err: str) -> str:
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    return err


def test_a_broker_that_is_away_ends_with_4(no_broker: Celery, run: Run) -> None:
    err = one_line(run("queue", "status", code=4).err)
    assert "Check that it runs; CELERY_BROKER_URL names it." in err


def test_a_database_that_is_away_ends_with_4(app: Celery, run: Run, tmp_path: Path) -> None:
    with site.unmigrated(tmp_path / "empty.sqlite3"):
        err = one_line(run("dlq", "list", code=4).err)
    assert "manage.py migrate" in err


def test_an_account_without_the_permission_ends_with_5(app: Celery, run: Run) -> None:
    maria = User.objects.create_user("maria")
    err = one_line(run("queue", "pause", "bulk", "--user", "maria", code=5).err)
    assert "maria needs the permission queueops.pause_queue." in err

    maria.user_permissions.add(Permission.objects.get(codename="pause_queue"))
    run("queue", "pause", "bulk", "--user", "maria")

    assert AuditEntry.objects.get().who == "maria"
    assert one_line(run("queue", "list", "--user", "nobody", code=3).err).startswith("Error: No account")
    User.objects.filter(pk=maria.pk).update(is_active=False)
    assert "switched off" in one_line(run("queue", "list", "--user", "maria", code=5).err)


def test_without_view_payload_a_job_is_told_without_its_arguments(app: Celery, run: Run) -> None:
    maria = User.objects.create_user("maria")
    maria.user_permissions.add(Permission.objects.get(codename="view_jobs"))
    task_id = letters.publish(app, "secret")

    assert run("job", "info", task_id, "--user", "maria", "--json").data["args"] is None
    assert "secret" not in run("job", "info", task_id, "--user", "maria").out


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["queue", "status", "nope"], 3),
        (["job", "info", "nope"], 3),
        (["dlq", "show", "4711"], 3),
        (["schedule", "show", "nope"], 3),
        (["worker", "stop", "nope", "--yes"], 3),
        (["job", "submit", "nope"], 3),
        (["org", "pause", "not a name"], 1),
        (["system", "cleanup", "--days", "400", "--yes"], 1),
        (["queue", "nope"], 2),
        (["nope"], 2),
        (["queue", "status", "--watch", "soon"], 2),
    ],
)
def test_exit_codes(app: Celery, run: Run, arguments: list[str], code: int) -> None:
    assert code in CODES
    assert "Traceback" not in run(*arguments, code=code).err


def test_a_surprise_is_one_line_and_its_traceback_is_shown_on_request() -> None:
    @click.command(cls=Verb)
    def surprise(call: Call) -> Answer:
        raise LookupError("something\nelse")

    quiet, loud = (CliRunner().invoke(surprise, arguments) for arguments in ([], ["--debug"]))

    assert one_line(quiet.stderr) == "Error: something else (LookupError; --debug shows where.)\n"
    assert (quiet.exit_code, loud.exit_code) == (1, 1)
    assert "Traceback (most recent call last)" in loud.stderr


def test_ctrl_c_ends_a_command_with_1() -> None:
    @click.command(cls=Verb)
    def interrupted(call: Call) -> Answer:
        raise KeyboardInterrupt

    done = CliRunner().invoke(interrupted, [])
    assert (done.exit_code, done.stderr.strip()) == (1, "Aborted!")
