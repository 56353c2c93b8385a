"""`manage.py dead_letters`: the same verb from a shell."""

from __future__ import annotations

import getpass
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from queueops.models import AuditEntry, DeadLetter
from tests.support import letters


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("dead_letters", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def rows(database: None) -> None:
    now = timezone.now()
    DeadLetter.objects.bulk_create(
        letters.row(died_at=now - timedelta(days=days)) for days in (1, 10, 31, 400)
    )


def test_purge_deletes_what_is_older_than_the_retention(rows: None) -> None:
    assert run("purge") == "2 letters purged.\n"
    assert DeadLetter.objects.count() == 2
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.who, entry.surface, entry.result_count) == (
        "purge",
        getpass.getuser(),
        "cli",
        2,
    )


def test_fewer_days_than_the_retention_need_force(rows: None) -> None:
    with pytest.raises(CommandError, match="1 of these letters is younger than the retention of 30 days"):
        run("purge", "--days", "7")
    assert DeadLetter.objects.count() == 4
    assert run("purge", "--days", "7", "--force") == "3 letters purged.\n"
    assert DeadLetter.objects.count() == 1


def test_days_that_make_no_sense_are_refused(rows: None) -> None:
    with pytest.raises(CommandError, match="must not be negative"):
        run("purge", "--days", "-1")
