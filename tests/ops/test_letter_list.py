"""Filters, pages and details of dead letters: what is found, in which order, and who sees what of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from django.core.exceptions import PermissionDenied

from queueops.errors import InvalidCursor, UnknownLetter
from queueops.models import AuditEntry, DeadLetter
from queueops.ops import broker, dead_letters, letter_list
from queueops.ops.batches import Cursor
from queueops.ops.permissions import Actor
from tests.support import letters

ACTOR = Actor.shell("maria")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def person(*codenames: str) -> Actor:
    from django.contrib.auth.models import Permission, User

    user = User.objects.create_user("-".join(codenames) or "nobody")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return Actor.of(user, AuditEntry.Surface.API)


def make(*rows: dict[str, Any]) -> list[int]:
    """Letters of these columns, each a minute younger than the one before; their numbers."""
    made = [letters.row(**{"died_at": NOON + timedelta(minutes=n), **row}) for n, row in enumerate(rows)]
    return [letter.pk for letter in DeadLetter.objects.bulk_create(made)]


def ids(**filters: Any) -> list[int]:
    return [row.id for row in letter_list.listed(ACTOR, **filters).letters]


def test_pages_go_from_the_newest_to_the_oldest_and_miss_none(database: None) -> None:
    same = {"died_at": NOON}
    made = make(*[same] * 5, {}, {}, {})
    expected = [row.pk for row in DeadLetter.objects.order_by("-died_at", "-id")]
    assert sorted(expected) == sorted(made)
    found: list[int] = []
    cursor: str | None = None
    while True:
        page = letter_list.listed(ACTOR, before=cursor, limit=3)
        found += [row.id for row in page.letters]
        # Letters that die meanwhile belong to no page that is still to come
        make({"died_at": NOON + timedelta(days=1)})
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.letters) == 3
    assert found == expected


def test_a_page_that_ends_with_the_last_letter_has_no_next_one(database: None) -> None:
    make({}, {})
    assert letter_list.listed(ACTOR, limit=2).next_cursor is None
    assert letter_list.listed(ACTOR, limit=1).next_cursor is not None


def test_exact_filters_find_their_letters(database: None) -> None:
    other = {
        "queue": "bulk", "org": "globex", "task": "shop.bill", "reason": "timeout", "error_class": "Hung",
        "fingerprint": "f" * 16, "task_id": "that-one",
    }  # fmt: skip
    first, second = make({}, other)
    for name, value in other.items():
        assert ids(**{name: value}) == [second], name
    assert ids(queue="bulk", org="acme") == []
    assert ids(letters=[first, 2**70, -1]) == [first]
    assert ids(died_since=NOON + timedelta(seconds=30)) == [second]
    assert ids(died_before=NOON + timedelta(seconds=30)) == [first]


def test_letters_that_are_parked_are_shown_unless_others_are_asked_for(database: None) -> None:
    parked, replayed, discarded = make({}, {"status": "replayed"}, {"status": "discarded"})
    assert ids() == ids(org="acme") == [parked]
    assert ids(status="replayed") == ids(status="replayed", org="acme") == [replayed]
    assert ids(status="all") == ids(status="") == [discarded, replayed, parked]


@pytest.mark.parametrize("error", ["timeout", "TimeOut", "TIMEOUT"])
def test_an_error_is_found_in_class_message_and_reason_in_any_case(database: None, error: str) -> None:
    by_class, by_message, by_reason, _ = make(
        {"error_class": "httpx.ReadTimeout"},
        {"error_message": "Gateway Timeout after 30 s"},
        {"reason": "timeout", "error_class": "", "error_message": ""},
        {"error_class": "ValueError", "error_message": "time is out"},
    )
    assert ids(error=error) == [by_reason, by_message, by_class]
    assert ids(error=error, limit=2) == [by_reason, by_message]
    matching, described = letter_list.matching(error=error)
    assert {row.pk for row in matching} == {by_class, by_message, by_reason}
    assert described == {"status": "parked", "error": error}


def test_a_reason_is_found_as_people_write_it_and_signs_are_no_wildcards(database: None) -> None:
    lost, percent, _ = make(
        {"reason": "worker_lost"}, {"error_message": "100%_sure"}, {"error_message": "100 is sure"}
    )
    assert ids(error="worker lost") == [lost]
    assert ids(error="100%_") == [percent]


def test_pages_of_an_error_go_on_where_they_stopped(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letter_list, "WINDOW", 3)
    made = make(*[{"error_message": "yes" if n % 4 == 0 else "no"} for n in range(22)])
    expected = [number for n, number in reversed(list(enumerate(made))) if n % 4 == 0]
    assert ids(error="yes") == expected
    for seconds in (-1.0, 60.0):
        monkeypatch.setattr(letter_list, "LIST_SECONDS", seconds)
        found: list[int] = []
        cursor: str | None = ""
        while cursor is not None:
            page = letter_list.listed(ACTOR, error="yes", limit=2, before=cursor)
            assert len(page.letters) <= 2
            found += [row.id for row in page.letters]
            cursor = page.next_cursor
        assert found == expected


def test_filters_that_share_no_index_find_what_has_them_all(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letter_list, "WINDOW", 3)
    made = make(*[
        {"queue": "bulk" if n % 2 else "standard", "org": "globex" if n % 3 else "acme", "task": f"t{n % 2}"}
        for n in range(12)
    ])  # fmt: skip
    expected = [number for n, number in reversed(list(enumerate(made))) if n % 2 and n % 3]
    asked = {"queue": "bulk", "org": "globex", "task": "t1"}
    assert ids(**asked) == expected
    matching, described = letter_list.matching(**asked)
    assert {row.pk for row in matching} == set(expected)
    assert described == {**asked, "status": "parked"}
    page = letter_list.listed(ACTOR, limit=1, **asked)
    assert ids(before=page.next_cursor, **asked) == expected[1:]


def test_windows_that_end_within_one_moment_show_each_letter_once(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letter_list, "WINDOW", 3)
    made = make(*[{"died_at": NOON, "error_message": "yes"}] * 10)
    assert ids(error="yes") == sorted(made, reverse=True)


def test_words_of_a_search_are_those_of_admin(database: None) -> None:
    named, told = make({"org": "globex"}, {"error_message": "certificate has expired"})
    assert ids(text="globex") == [named]
    assert ids(text="certificate expired") == [told]


def test_what_no_column_can_hold_finds_nothing(database: None) -> None:
    make({})
    for name in ("org", "error", "text", "queue"):
        assert ids(**{name: "a\x00b"}) == []


@pytest.mark.parametrize(
    "cursor", ["x", "1", "1~", "~1", "1~x", "9" * 30 + "~1", f"1~{2**63}", "-1~1", "1~-1"]
)
def test_a_cursor_of_another_make_is_refused(database: None, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        letter_list.listed(ACTOR, before=cursor)


def test_a_cursor_has_only_signs_that_an_address_takes(database: None) -> None:
    moment = datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)
    text = str(Cursor(moment, 7))
    assert text.replace("~", "").isdigit()
    assert Cursor.parse(text) == Cursor(moment, 7)
    assert Cursor.parse("") is None


def test_limits_are_kept_in_their_range(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letter_list, "MOST", 2)
    make({}, {}, {})
    assert len(ids(limit=100)) == 2
    assert len(ids(limit=-5)) == 1


def test_payloads_are_masked_and_shown_only_to_those_who_may_see_them(database: None) -> None:
    [number] = make({
        "args": [{"password": "hush"}], "kwargs": {"token": "hush", "n": 1},
        "error_message": "refused token=hush", "traceback": "x\npassword: hush",
        "attempts": [{"n": 1, "error": "E", "message": "token=hush"}, "odd"],
    })  # fmt: skip
    [row] = letter_list.listed(ACTOR).letters
    assert (row.args, row.kwargs) == ([{"password": "••••••"}], {"token": "••••••", "n": 1})
    assert "hush" not in repr(letter_list.shown(ACTOR, number))
    viewer = person("view_deadletter")
    [row] = letter_list.listed(viewer).letters
    detail = letter_list.shown(viewer, number)
    assert (row.args, row.kwargs, detail.payload) == (None, None, None)
    assert "hush" not in repr((row, detail))
    assert letter_list.listed(ACTOR, payload=False).letters[0].args is None


def test_a_letter_is_shown_with_its_line_and_its_payload(app: Celery) -> None:
    letters.publish(app, 5, org="acme", kwargs={"token": "hush", "n": 1})
    with broker.store() as store:
        letters.die(store)
        dead_letters.collect(store)
        first = DeadLetter.objects.get()
        dead_letters.replay(ACTOR, [first.pk])
        letters.die(store)
        dead_letters.collect(store)
    second = DeadLetter.objects.latest("pk")

    detail = letter_list.shown(ACTOR, first.pk)

    assert detail.letter.id == first.pk and detail.letter.status == "replayed"
    assert [row.id for row in detail.line] == [second.pk]
    assert [row.id for row in letter_list.shown(ACTOR, second.pk).line] == [first.pk]
    assert detail.alike == 2
    assert [one["n"] for one in detail.errors] == [1, 2, 3]
    assert "in deliver" in detail.traceback
    payload = detail.payload
    assert payload is not None
    assert (payload.args, payload.kwargs) == ([5], {"token": "••••••", "n": 1})
    assert payload.headers["task"] == "shop.deliver" and "kwargsrepr" not in payload.headers
    assert not AuditEntry.objects.exclude(verb="replay").exists()


def test_a_message_that_cannot_be_read_is_shown_as_it_is(database: None) -> None:
    [number] = make({"message": 'no {"password": "hush"}'})
    payload = letter_list.shown(ACTOR, number).payload
    assert payload is not None
    assert "cannot be read" in payload.unreadable
    assert payload.raw == 'no {"password": "••••••"}'


@pytest.mark.parametrize("number", [0, -1, 999_999, 2**70])
def test_a_letter_that_is_not_there_is_said_to_be_unknown(database: None, number: int) -> None:
    with pytest.raises(UnknownLetter, match="may have been purged"):
        letter_list.shown(ACTOR, number)


def test_letters_are_counted_up_to_a_bound(database: None) -> None:
    make({}, {}, {}, {"org": "globex"})
    matching, _ = letter_list.matching(org="acme")
    assert letter_list.counted(ACTOR, matching) == letter_list.Counted(3, False)
    assert letter_list.counted(ACTOR, matching, bound=2) == letter_list.Counted(2, True)


def test_without_the_permission_nothing_is_shown(database: None) -> None:
    [number] = make({})
    nobody = person()
    matching, _ = letter_list.matching()
    for refused in (
        lambda: letter_list.listed(nobody),
        lambda: letter_list.shown(nobody, number),
        lambda: letter_list.counted(nobody, matching),
    ):
        with pytest.raises(PermissionDenied, match="view_deadletter"):
            refused()
