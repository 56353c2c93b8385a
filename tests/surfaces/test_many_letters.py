"""With 200,000 letters every page reads what it shows: no query walks the table, and none counts it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from queueops.models import DeadLetter
from queueops.ops import dead_letters, error_groups, letter_list
from queueops.ops.batches import pages
from queueops.ops.permissions import Actor
from tests.support import many_letters
from tests.support.many_letters import assert_bounded, plans

#: 200,000 rows.
pytestmark = pytest.mark.slow

LIST = "/admin/queueops/deadletter/"
MARIA = Actor.shell("maria")


@pytest.fixture(scope="module")
def many() -> Iterator[None]:
    with many_letters.many():
        yield


@pytest.fixture
def maria(many: None) -> Client:
    from django.contrib.auth.models import User

    client = Client()
    client.force_login(User.objects.get_or_create(username="maria", is_staff=True, is_superuser=True)[0])
    return client


@pytest.mark.parametrize(
    "query",
    [
        "",
        "p=7",
        "p=200",
        "status=all",
        "status=replayed",
        "org=org-007",
        "org=big",
        "org=org-007&status=all",
        "org=big&queue=bulk",
        "queue=bulk",
        "task=shop.task_3",
        "reason=timeout",
        "error_class=Error3",
        "fingerprint=0000000000000007",
        "age=1h",
        "age=old",
        "org=big&age=7d&reason=failed",
        "q=org-007",
        "q=shop.task_3",
        "q=nothing+like+it",
        "o=1",
    ],
)
def test_every_page_of_the_list_costs_few_queries_and_reads_along_an_index(maria: Client, query: str) -> None:
    with CaptureQueriesContext(connection) as captured:
        response = maria.get(f"{LIST}?{query}")
    assert response.status_code == 200
    # Session and user, the choices of five filters, count, page, groups; a search asks once for each word.
    assert len(captured) <= 12 + query.count("q=") + query.count("+"), [one["sql"] for one in captured]
    assert_bounded(captured.captured_queries)


def test_the_page_of_a_letter_and_the_confirmation_are_bounded_too(maria: Client) -> None:
    letter = DeadLetter.objects.parked().order_by("-pk").first()
    assert letter is not None
    for path in (f"{letter.pk}/change/", "operate/replay/?filter=", "operate/purge/?filter=org%3Dbig"):
        with CaptureQueriesContext(connection) as captured:
            assert maria.get(LIST + path).status_code == 200
        assert len(captured) <= 16
        assert_bounded(captured.captured_queries)


def test_the_count_stops_and_says_so(maria: Client) -> None:
    page = maria.get(LIST).content.decode()
    assert "more than 10000 letters" in " ".join(page.split())
    assert "More than 10000 letters" in " ".join(
        maria.get(f"{LIST}operate/discard/?filter=").content.decode().split()
    )


def test_a_walk_over_all_letters_costs_its_own_pages(many: None) -> None:
    with CaptureQueriesContext(connection) as captured:
        seen = 0
        for ids, cursor in pages(DeadLetter.objects.filter(org="org-007").parked()):
            seen += len(ids)
            if cursor is None:
                break
    assert seen == DeadLetter.objects.filter(org="org-007").parked().count()
    assert_bounded(captured.captured_queries)


def test_the_letters_of_an_org_are_discarded_in_batches_and_each_is_bounded(many: None) -> None:
    matching = DeadLetter.objects.filter(org="org-008")
    expected = matching.parked().count()
    with CaptureQueriesContext(connection) as captured:
        done = dead_letters.discard(Actor.shell("maria"), matching, {"org": "org-008"})
    assert done.count == expected > 300
    assert_bounded(captured.captured_queries)


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"status": "all"},
        {"status": "replayed"},
        {"org": "org-007"},
        {"org": "big", "queue": "bulk"},
        # The two have no letter in common
        {"task": "shop.task_0", "queue": "bulk", "reason": "timeout", "org": "org-001"},
        {"task": "shop.task_3"},
        {"reason": "timeout"},
        {"error_class": "Error3"},
        {"fingerprint": "0000000000000007"},
        {"died_since": timezone.now() - timedelta(days=3)},
        {"error": "503"},
        {"error": "nothing like it"},
        {"org": "big", "error": "error3"},
        {"text": "nothing like it"},
    ],
)
def test_every_page_of_the_verb_costs_its_own_rows(many: None, filters: dict[str, Any]) -> None:
    cursor: str | None = None
    for _ in range(3):
        with CaptureQueriesContext(connection) as captured:
            page = letter_list.listed(MARIA, before=cursor, limit=50, **filters)
        # What no index has is looked at in letters that are named by their numbers: bounded, and sorted.
        windows = [one for one in captured.captured_queries if '"id" IN (' in one["sql"]]
        assert all(one["sql"].count(",") < letter_list.WINDOW + 100 for one in windows)
        assert_bounded([one for one in captured.captured_queries if one not in windows])
        if not windows:
            assert len(captured) <= 1 + 4 * ("text" in filters)
        cursor = page.next_cursor
        if cursor is None:
            break


def test_a_text_that_no_letter_has_is_looked_for_in_bounded_steps_to_the_end(many: None) -> None:
    cursor, pages_read = None, 0
    while True:
        page = letter_list.listed(MARIA, error="nothing like it", before=cursor)
        pages_read += 1
        assert page.letters == ()
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert pages_read <= DeadLetter.objects.count() / letter_list.WINDOW + 1


def test_errors_are_grouped_by_covering_indexes_and_counted_exactly(many: None) -> None:
    for only in ({}, {"queue": "bulk"}, {"org": "big"}, {"org": "big", "queue": "critical"}):
        with CaptureQueriesContext(connection) as captured:
            found = error_groups.groups(MARIA, hours=192, limit=50, **only)
        assert len(captured) <= 4
        for sql, plan in plans(captured.captured_queries).items():
            assert not [step for step in plan if re.match(r"SCAN \S*(queueops_deadletter|letter)", step)], sql
            of_letters = [step for step in plan if re.match(r"SEARCH (queueops_deadletter|letter|U0) ", step)]
            # With queue and org the planner chooses one of two indexes and looks at the rows for the other.
            covered = all("COVERING INDEX" in one or "PRIMARY KEY" in one for one in of_letters)
            assert of_letters and (covered or len(only) == 2), plan
        expected: Counter[str] = Counter(
            DeadLetter.objects.parked()
            .died_since(timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=191))
            .filter(**only)
            .values_list("fingerprint", flat=True)
        )
        assert {one.fingerprint: one.count for one in found} == expected
        assert [one.count for one in found] == sorted(expected.values(), reverse=True)
