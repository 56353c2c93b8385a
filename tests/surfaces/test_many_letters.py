"""With 200,000 letters every page reads what it shows: no query walks the table, and none counts it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from queueops.engine.rules.states import LetterStatus, Reason
from queueops.models import DeadLetter
from queueops.ops import dead_letters
from queueops.ops.batches import pages
from queueops.ops.permissions import Actor
from tests.support import letters, site

LIST = "/admin/queueops/deadletter/"
ROWS = 200_000
TEMPLATES = 2_000
REASONS = list(Reason)


@pytest.fixture(scope="module")
def many() -> Iterator[None]:
    """A database with 200,000 letters: 300 orgs and a big one, 4 queues, 12 tasks, a tenth closed."""
    with site.database():
        # Written without indexes, which are then built over all rows at once: seconds instead of minutes.
        indexes = DeadLetter._meta.indexes
        with connection.schema_editor() as editor:
            for index in indexes:
                editor.remove_index(DeadLetter, index)
        DeadLetter.objects.bulk_create(template(n) for n in range(TEMPLATES))
        multiply(ROWS // TEMPLATES - 1)
        with connection.schema_editor() as editor:
            for index in indexes:
                editor.add_index(DeadLetter, index)
        assert DeadLetter.objects.count() == ROWS
        yield


def template(n: int) -> DeadLetter:
    return letters.row(
        org="big" if n % 10 == 0 else f"org-{n % 300:03}",
        queue=("critical", "standard", "bulk", "webhooks")[n % 4],
        task=f"shop.task_{n % 12}",
        reason=REASONS[n % len(REASONS)],
        error_class=f"Error{n % 9}",
        fingerprint=f"{n % 40:016x}",
        status=(LetterStatus.REPLAYED, LetterStatus.DISCARDED, LetterStatus.PARKED)[min(n % 20, 2)],
        died_at=timezone.now() - timedelta(seconds=n * 20),
    )


def multiply(times: int) -> None:
    """Copy the templates, each copy 12 hours older than the one before."""
    columns = [field.column for field in DeadLetter._meta.local_fields if not field.primary_key]
    copied = {
        "lease_token": "lease_token || '-' || copy",
        "task_id": "task_id || '-' || copy",
        "died_at": "strftime('%%Y-%%m-%%d %%H:%%M:%%f000', died_at, '-' || (copy * 12) || ' hours')",
    }
    values = ", ".join(copied.get(name, name) for name in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE copies(copy) AS (SELECT 1 UNION ALL SELECT copy + 1 FROM copies WHERE copy < %s) "
            f"INSERT INTO queueops_deadletter ({', '.join(columns)}) "
            f"SELECT {values} FROM queueops_deadletter, copies",
            [times],
        )


@pytest.fixture
def maria(many: None) -> Client:
    from django.contrib.auth.models import User

    client = Client()
    client.force_login(User.objects.get_or_create(username="maria", is_staff=True, is_superuser=True)[0])
    return client


def plans(queries: list[dict[str, str]]) -> dict[str, list[str]]:
    """How SQLite answers each query about letters, in the words of EXPLAIN QUERY PLAN."""
    found = {}
    for query in queries:
        if "queueops_deadletter" in query["sql"] and query["sql"].startswith(("SELECT", "WITH")):
            with connection.cursor() as cursor:
                cursor.execute("EXPLAIN QUERY PLAN " + query["sql"].replace("%", "%%"))
                found[query["sql"]] = [row[3] for row in cursor.fetchall()]
    return found


def assert_bounded(queries: list[dict[str, str]]) -> None:
    for sql, plan in plans(queries).items():
        for step in plan:
            # Rows are reached by an index; a walk along one is bounded by the query's own LIMIT; and nothing
            # is sorted that an index could have given in order.
            if re.match(r"SCAN \S*(queueops_deadletter|U0)", step):
                assert "USING" in step and "LIMIT" in sql, (sql, plan)
            assert "TEMP B-TREE" not in step, (sql, plan)


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
