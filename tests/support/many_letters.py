"""200,000 letters in a database, and how it finds them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from queueops.engine.rules.states import LetterStatus, Reason
from queueops.models import DeadLetter
from tests.support import letters, site

ROWS = 200_000
TEMPLATES = 2_000
REASONS = list(Reason)


@contextmanager
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
