"""`queueops dlq`: letters are listed, replayed, closed, purged, written to a file and read again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import pytest
from celery import Celery
from django.utils import timezone

from queueops.engine.store import Store
from queueops.models import AuditEntry, DeadLetter
from queueops.ops import broker, dead_letters
from tests.support import letters
from tests.surfaces.cli.conftest import Run


def dead(app: Celery, store: Store, count: int, error: str = "EndpointRefused") -> list[int]:
    """Jobs that died, oldest first, by the numbers of their letters."""
    known = set(DeadLetter.objects.values_list("pk", flat=True))
    for number in range(count):
        letters.publish(app, number, org="acme")
        letters.die(store, error=error)
    dead_letters.collect_all(store)
    return sorted(set(DeadLetter.objects.values_list("pk", flat=True)) - known)


def test_letters_are_listed_in_pages_and_by_filter(app: Celery, store: Store, run: Run) -> None:
    refused, slow = dead(app, store, 2), dead(app, store, 1, "TimeoutError")

    page = run("dlq", "list", "--limit=2", "--json").data
    assert [one["id"] for one in page["letters"]] == [*slow, refused[1]]
    rest = run("dlq", "list", "--limit=2", "--after", page["next_cursor"], "--json").data
    assert ([one["id"] for one in rest["letters"]], rest["next_cursor"]) == (refused[:1], None)
    found = run("dlq", "list", "--error=timeout", "--queue", "standard", "--json").data["letters"]
    assert [one["id"] for one in found] == slow
    assert "--after" in run("dlq", "list", "--limit=2").out
    assert run("dlq", "list", "--org", "globex").out == "No letter matches.\n"


def test_a_letter_is_shown_with_its_attempts_and_what_the_job_carried(
    app: Celery, store: Store, run: Run
) -> None:
    [letter] = dead(app, store, 1)

    seen = run("dlq", "show", str(letter), "--json").data
    assert (seen["letter"]["id"], seen["payload"]["args"]) == (letter, [0])
    out = run("dlq", "show", str(letter)).out
    assert "attempt 1 failed: EndpointRefused: answered 503" in out
    assert "tasks.http.EndpointRefused" in out
    assert "No dead letter has the number 999999" in run("dlq", "show", "999999", code=3).err


def test_letters_are_grouped_by_what_they_died_of(app: Celery, store: Store, run: Run) -> None:
    dead(app, store, 2)
    [group] = run("dlq", "groups", "standard", "--json").data
    assert (group["count"], group["error_class"]) == (2, "EndpointRefused")
    assert group["fingerprint"] in run("dlq", "groups").out
    found = run("dlq", "list", "--fingerprint", group["fingerprint"], "--json").data
    assert len(found["letters"]) == 2


def test_a_letter_is_replayed_by_its_number(app: Celery, store: Store, run: Run) -> None:
    first, second = dead(app, store, 2)

    assert run("dlq", "replay", str(first)).out == "1 letter replayed.\n"

    assert store.queue_snapshot("standard").ready == 1
    assert list(DeadLetter.objects.parked().values_list("pk", flat=True)) == [second]


def test_letters_are_replayed_by_their_error(app: Celery, store: Store, run: Run) -> None:
    dead(app, store, 1)
    slow = dead(app, store, 2, "TimeoutError")

    assert run("dlq", "replay", "--error", "timeout", "--dry-run", "--json").data["count"] == 2
    done = run("dlq", "replay", "--error=timeout", "--yes", "--json").data

    assert (done["verdict"], done["count"]) == ("finished", 2)
    assert sorted(DeadLetter.objects.filter(status="replayed").values_list("pk", flat=True)) == slow
    assert AuditEntry.objects.get(verb="replay").surface == "cli"


def test_nothing_said_does_not_mean_everything(app: Celery, store: Store, run: Run) -> None:
    dead(app, store, 3)
    assert "Say which letters" in run("dlq", "replay", code=2).err
    assert "--queue bulk" in run("dlq", "replay", "bulk", code=2).err
    assert "say --yes" in run("dlq", "replay", "--queue=standard", code=2).err
    assert DeadLetter.objects.parked().count() == 3


def test_canaries_that_die_again_stop_a_replay(app: Celery, store: Store, run: Run) -> None:
    made = dead(app, store, 5)

    with dying_jobs():
        done = run("dlq", "replay", "--queue=standard", "--canary=2", "--yes", "--json", code=1).data

    assert (done["verdict"], done["count"], done["canary_failed"]) == ("canary_failed", 2, 2)
    assert done["after"]
    assert list(DeadLetter.objects.parked().filter(pk__in=made).values_list("pk", flat=True)) == made[2:]


@contextmanager
def dying_jobs() -> Iterator[None]:
    """A worker whose jobs all die at once."""
    over = Event()

    def work() -> None:
        with broker.store() as own:
            while not over.wait(0.02):
                own.settle([letters.dead(job) for job in own.claim(["standard"], 1, 0, "worker", 1).jobs])

    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_discard_closes_letters_and_purge_deletes_the_old_ones(app: Celery, store: Store, run: Run) -> None:
    first, second = dead(app, store, 2)
    DeadLetter.objects.filter(pk=second).update(died_at=timezone.now() - timedelta(days=31))

    assert run("dlq", "discard", str(first), "--dry-run", "--json").data["count"] == 1
    assert run("dlq", "discard", str(first), "--yes", "--json").data["count"] == 1
    assert DeadLetter.objects.get(pk=first).status == "discarded"
    assert run("dlq", "purge", "--days=30", "--dry-run", "--json").data["count"] == 1
    assert run("dlq", "purge", "--days=30", "--yes", "--json").data["count"] == 1
    assert list(DeadLetter.objects.values_list("pk", flat=True)) == [first]


def test_letters_younger_than_the_retention_are_purged_by_force_only(
    app: Celery, store: Store, run: Run
) -> None:
    dead(app, store, 1)
    assert "younger than the retention of 30 days" in run("dlq", "purge", "--days", "0", "--yes", code=1).err
    assert run("dlq", "purge", "--days", "0", "--yes", "--force").out == "1 letter purged.\n"


def test_letters_travel_as_json_lines(app: Celery, store: Store, run: Run, tmp_path: Path) -> None:
    dead(app, store, 2)
    file = tmp_path / "letters.jsonl"

    assert run("dlq", "export", "--output", str(file), "--json").data == {"count": 2}
    assert [json.loads(line) for line in run("dlq", "export").out.splitlines()] == [
        json.loads(line) for line in file.read_text().splitlines()
    ]
    assert run("dlq", "import", str(file), "--json").data["known"] == 2
    DeadLetter.objects.all().delete()
    assert run("dlq", "import", str(file)).out == "2 letters imported; 0 were known, 0 refused.\n"
    assert DeadLetter.objects.parked().count() == 2
    file.write_text("no letter\n")
    assert "Line 1:" in run("dlq", "import", str(file), code=1).out


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("dlq retry", "replay"),
        ("dlq requeue", "replay"),
        ("dlq delete", "discard"),
        ("dlq grups", "groups"),
        ("queue retry", "dlq replay"),
        ("queue purge", "queue drain --remove"),
        ("queue org-stats", "org stats"),
        ("queue throttle-org", "org throttle"),
    ],
)
def test_words_of_other_systems_are_answered_with_ours(app: Celery, run: Run, said: str, meant: str) -> None:
    assert f"Did you mean {meant}?" in run(*said.split(), code=2).err
