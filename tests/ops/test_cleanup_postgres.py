"""Cleaning up hundreds of thousands of rows on PostgreSQL: nobody waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.utils import timezone

from queueops.models import DeadLetter
from queueops.ops import cleanup
from queueops.ops.permissions import Actor
from tests.support import letters, site
from tests.support.postgres import Postgres
from tests.support.valkey import Valkey

#: Rows of each table that are past their retention, and those of the results that are not.
RESULTS, ENTRIES, LETTERS, YOUNG = 200_000, 100_000, 25_000, 100_000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def many(postgres: Postgres) -> Iterator[None]:
    """The rows, written by the database itself."""
    with site.database(postgres.create_database()):
        letters.row(
            status="discarded", died_at=timezone.now() - timedelta(days=90), message="x" * 2000
        ).save()
        columns = [field.column for field in DeadLetter._meta.fields if field.name != "id"]
        names = ", ".join(f'"{column}"' for column in columns)
        told = names.replace('"lease_token"', "'token-' || n")
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO queueops_deadletter ({names}) SELECT {told} FROM queueops_deadletter,"
                " generate_series(2, %s) n",
                [LETTERS],
            )
            for count, age in ((RESULTS, "30 days"), (YOUNG, "1 day")):
                cursor.execute(
                    "INSERT INTO django_celery_results_taskresult (task_id, status, content_type,"
                    " content_encoding, result, date_created, date_done) SELECT %s || n, 'SUCCESS',"
                    " 'application/json', 'utf-8', repeat('x', 300), now(), now() - %s::interval"
                    " - n * interval '1 ms' FROM generate_series(1, %s) n",
                    [age, age, count],
                )
            cursor.execute(
                "INSERT INTO queueops_auditentry (at, who, verb, target, parameters, result_count, surface)"
                " SELECT now() - interval '400 days', 'x', 'y', 'z', '{}', 0, 'cli'"
                " FROM generate_series(1, %s) n",
                [ENTRIES],
            )
        yield


class Slowest:
    """Notes the statement that took longest."""

    def __init__(self) -> None:
        self.seconds, self.text = 0.0, ""

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        started = time.monotonic()
        try:
            return execute(sql, params, many, context)
        finally:
            took = time.monotonic() - started
            if took > self.seconds:
                self.seconds, self.text = took, sql


def test_no_statement_takes_a_second_and_inserts_go_on_beside_it(many: None, valkey: Valkey) -> None:
    from django_celery_results.models import TaskResult

    slowest, stop, waits, refused = Slowest(), threading.Event(), [], []

    def insert() -> None:
        try:
            with connection.cursor() as cursor:
                # Not by the clock: a machine that is busy lets an insert wait for the processor too.
                cursor.execute("SET lock_timeout = '1s'")
            while not stop.is_set():
                started = time.monotonic()
                TaskResult.objects.create(task_id=f"new-{len(waits)}", status="SUCCESS")
                waits.append(time.monotonic() - started)
        except DatabaseError as error:
            refused.append(error)
        finally:
            connection.close()

    with site.celery_app(valkey.broker_url) as app:
        app.conf.result_expires = timedelta(days=7)
        writer = threading.Thread(target=insert)
        writer.start()
        try:
            with connection.execute_wrapper(slowest):
                cleaned = cleanup.cleanup(Actor.shell("maria"))
        finally:
            stop.set()
            writer.join(20)

    assert cleaned.by_table == {"results": RESULTS, "dead letters": LETTERS, "audit entries": ENTRIES}
    assert TaskResult.objects.count() == YOUNG + len(waits)
    assert slowest.seconds < 1.0, slowest.text[:200]
    assert not refused, "an insert waited for a lock"
    assert len(waits) > 20
    print(f"longest statement {slowest.seconds:.2f} s, longest insert {max(waits):.2f} s of {len(waits)}")
