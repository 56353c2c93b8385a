"""Letters as JSON lines: whole, byte for byte, and in as often as one likes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from django.core.exceptions import PermissionDenied

from queueops.engine.rules.envelope import NewJob
from queueops.engine.store import Store
from queueops.models import AuditEntry, DeadLetter
from queueops.ops import broker, dead_letters, letter_files, letter_lines, letter_list
from queueops.ops.permissions import Actor
from queueops.transport.adoption import adopt
from tests.support import letters

ACTOR = Actor.shell("maria")


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


def person(*codenames: str) -> Actor:
    from django.contrib.auth.models import Permission, User

    user = User.objects.create_user("-".join(codenames) or "nobody")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return Actor.of(user, AuditEntry.Surface.API)


def exported(**filters: Any) -> list[str]:
    lines: list[str] = []
    matching, described = letter_list.matching(**filters)
    count = letter_files.export(ACTOR, matching, described, lines.append)
    assert count == len(lines)
    return lines


def rows() -> list[dict[str, Any]]:
    """All columns of all letters, without the numbers, which differ from database to database."""
    found = []
    for letter in DeadLetter.objects.order_by("died_at", "lease_token"):
        values = {field.attname: getattr(letter, field.attname) for field in letter._meta.local_fields}
        origin = letter.origin.lease_token if letter.origin else None
        found.append({**values, "id": None, "origin_id": origin})
    return found


def line(**given: Any) -> str:
    """A line that is right but for what is given; None takes a field away."""
    known = {
        "format": letter_lines.FORMAT, "queue": "bulk", "org": "", "message": "{}", "reason": "failed",
        "fingerprint": "f" * 16, "died_at": "2026-11-01T12:00:00+00:00", "lease_token": "token",
    }  # fmt: skip
    return json.dumps({name: value for name, value in {**known, **given}.items() if value is not None})


def test_letters_come_back_as_they_were(app: Celery, store: Store) -> None:
    letters.publish(app, 5, org="acme", kwargs={"token": "not masked", "umlaut": "für"}, resource="stripe")
    letters.die(store)
    # One whose message is no text, and one that died in a replay of the first
    store.client.rpush("standard", b'{"body": "\xff\xfe \xc3\xa9", "n": 1}')
    assert adopt(store, "standard", org="acme") == 1
    alien = letters.die(store, reason="undecodable", attempt=0)
    dead_letters.collect(store)
    dead_letters.replay(ACTOR, [DeadLetter.objects.earliest("pk").pk])
    letters.die(store)
    dead_letters.collect(store)
    before = rows()
    assert {row["message_encoding"] for row in before} == {"", "base64"}

    lines = exported(status="all")
    DeadLetter.objects.all().delete()
    done = letter_files.import_lines(ACTOR, lines)

    assert (done.count, done.known, done.refused) == (3, 0, 0)
    assert rows() == before
    assert all(text.endswith("\n") and text.count("\n") == 1 for text in lines)
    assert "not masked" in "".join(lines)
    restored = DeadLetter.objects.get(lease_token=alien.token)
    assert dead_letters.replay(ACTOR, [restored.pk]).count == 1
    assert letters.claim(store).message == alien.message


def test_a_second_import_finds_all_letters_there(database: None) -> None:
    DeadLetter.objects.bulk_create(letters.row() for _ in range(120))
    lines = exported()
    done = letter_files.import_lines(ACTOR, lines)
    assert (done.count, done.known) == (0, 120)
    DeadLetter.objects.filter(pk__in=DeadLetter.objects.values("pk")[:7]).delete()
    done = letter_files.import_lines(ACTOR, (text.encode() for text in lines))
    assert (done.count, done.known, DeadLetter.objects.count()) == (7, 113, 120)
    assert list(AuditEntry.objects.order_by("pk").values_list("verb", "result_count")) == [
        ("export", 120), ("import", 0), ("import", 7),
    ]  # fmt: skip


def test_a_letter_twice_in_a_file_is_one_letter(database: None) -> None:
    done = letter_files.import_lines(ACTOR, [line(), line(), "\n", line(lease_token="other")])
    assert (done.count, done.known, done.refused) == (2, 1, 0)


def test_what_was_changed_since_the_export_is_left_as_it_is(database: None) -> None:
    letter = letters.row()
    letter.save()
    lines = exported()
    DeadLetter.objects.update(status="discarded", closed_by="maria")
    assert letter_files.import_lines(ACTOR, lines).known == 1
    assert DeadLetter.objects.get().status == "discarded"


def test_the_first_letter_of_a_line_may_be_there_already_or_not_at_all(database: None) -> None:
    first = letters.row(lease_token="first")
    first.save()
    done = letter_files.import_lines(
        ACTOR,
        [
            line(lease_token="second", origin="first", replay_number=1),
            line(lease_token="orphan", origin="gone", replay_number=1),
        ],
    )
    assert done.count == 2
    found = dict(DeadLetter.objects.values_list("lease_token", "origin_id"))
    assert found == {"first": None, "second": first.pk, "orphan": None}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "It is not JSON: .* at character 1"),
        ("[1]", "not a JSON object"),
        ('"x"', "not a JSON object"),
        ("{}", "Its format is None, not 'queueops letter 1'"),
        (line(format="queueops letter 9"), "Its format is 'queueops letter 9'"),
        (line(message=None, queue=None), "It has no queue, message"),
        (line(lease_token=""), "lease_token is empty"),
        (line(reason=""), "status or its reason is not known"),
        (line(colour="red"), "Nobody knows its colour"),
        (line(reason="bored"), "reason: .*not a valid choice"),
        (line(status="open"), "status: .*not a valid choice"),
        (line(queue="q" * 256), "queue: .*at most 255 characters"),
        (line(queue=5), "queue is not a text"),
        (line(worker="a\x00b"), "worker is not a text that a database takes"),
        (line(deliveries=-1), "deliveries is not a number"),
        (line(deliveries=True), "deliveries is not a number"),
        (line(deliveries=2**40), "deliveries is not a number that"),
        (line(run_ms=2**70), "run_ms is not a number that"),
        (line(died_at="soon"), "died_at is not a time: 'soon'"),
        (line(died_at=5), "died_at is not a time: 5"),
        (line(died_at="2026-11-01T12:00:00"), "died_at has no time zone"),
        (line(args={}), "args is not a list"),
        (line(kwargs=[]), "kwargs is not a dict"),
        (line(message_encoding="rot13"), "message_encoding is 'rot13'"),
        (line(message_encoding="base64", message="no!"), "message is not base64"),
        (b"\xff", "It is not UTF-8"),
    ],
)
def test_a_line_that_is_no_letter_is_refused_and_the_others_are_written(
    database: None, text: str | bytes, reason: str
) -> None:
    done = letter_files.import_lines(ACTOR, [line(lease_token="1"), "", text, line(lease_token="2")])
    assert (done.count, done.refused) == (2, 1)
    [refused] = done.refusals
    assert refused.line == 3
    assert re.search(reason, refused.reason), refused.reason


def test_of_many_refused_lines_the_first_are_told(database: None) -> None:
    seen: list[int] = []
    done = letter_files.import_lines(ACTOR, ["no"] * 250, progress=seen.append)
    assert (done.refused, len(done.refusals), done.refusals[-1].line) == (250, 100, 100)
    assert seen == [50, 100, 150, 200, 250]


def test_an_export_that_ends_half_way_says_what_has_left(database: None) -> None:
    DeadLetter.objects.bulk_create(letters.row() for _ in range(5))
    written: list[str] = []

    def full(text: str) -> None:
        if len(written) == 3:
            raise OSError("No space left on device")
        written.append(text)

    matching, described = letter_list.matching()
    with pytest.raises(OSError, match="No space"):
        letter_files.export(ACTOR, matching, described, full)
    assert AuditEntry.objects.get().result_count == 3


def test_an_export_is_that_of_a_filter_oldest_first_with_progress(database: None) -> None:
    now = letters.row().died_at
    DeadLetter.objects.bulk_create(
        letters.row(org="acme" if n % 2 else "globex", died_at=now.replace(year=2000 + n % 20), worker=str(n))
        for n in range(110)
    )
    seen: list[int] = []
    lines: list[str] = []
    matching, described = letter_list.matching(org="acme")
    assert letter_files.export(ACTOR, matching, described, lines.append, progress=seen.append) == 55
    died = [json.loads(text)["died_at"] for text in lines]
    assert died == sorted(died) and seen == [50, 55]
    assert {json.loads(text)["org"] for text in lines} == {"acme"}
    assert AuditEntry.objects.get().parameters == {"filter": {"org": "acme", "status": "parked"}}


def test_an_imported_letter_is_replayed_under_a_tag_of_its_own(app: Celery, store: Store) -> None:
    letters.publish(app, 5)
    letters.die(store)
    dead_letters.collect(store)
    lines = exported()
    dead_letters.replay(ACTOR, [DeadLetter.objects.get().pk])
    assert letters.claim(store).task
    # In a database that is made anew the number is another one
    DeadLetter.objects.all().delete()
    store.client.flushall()
    assert letter_files.import_lines(ACTOR, lines).count == 1
    assert dead_letters.replay(ACTOR, [DeadLetter.objects.get().pk]).count == 1
    assert store.queue_snapshot("standard").ready == 1


def test_a_job_whose_name_is_long_survives(app: Celery, store: Store) -> None:
    store.enqueue("bulk", [NewJob("raw", "id", "shop." + "x" * 240, "acme", "not JSON \x00")])
    job = letters.claim(store, "bulk")
    store.settle([letters.dead(job, {"reason": "undecodable", "error": "E" * 400})])
    dead_letters.collect(store)
    lines = exported()
    DeadLetter.objects.all().delete()
    assert letter_files.import_lines(ACTOR, lines).refusals == ()
    assert DeadLetter.objects.get().raw_message == "not JSON \x00"


def test_who_may_not_see_payloads_exports_nothing(database: None) -> None:
    letters.row().save()
    matching, described = letter_list.matching()
    written: list[str] = []
    for actor, missing in (
        (person(), "export_deadletter"),
        (person("export_deadletter"), "view_payload"),
        (person("view_payload"), "export_deadletter"),
    ):
        with pytest.raises(PermissionDenied, match=missing):
            letter_files.export(actor, matching, described, written.append)
    with pytest.raises(PermissionDenied, match="export_deadletter"):
        letter_files.import_lines(person("view_payload", "view_deadletter"), [line()])
    with pytest.raises(PermissionDenied, match="enqueue_job"):
        letter_files.import_lines(person("export_deadletter", "view_deadletter"), [line()])
    assert not written and not AuditEntry.objects.exists() and DeadLetter.objects.count() == 1
    both = person("export_deadletter", "view_payload")
    assert letter_files.export(both, matching, described, written.append) == 1
