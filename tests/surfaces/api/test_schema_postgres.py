"""The same on PostgreSQL, which refuses more than SQLite does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from celery import Celery
from django.db import connection
from hypothesis import settings

from tests.support import site
from tests.support.postgres import Postgres

from .conftest import Caller
from .schema import COMMON, ask, loaded

pytestmark = pytest.mark.slow
schema = loaded(coverage=False)


@pytest.fixture(scope="module")
def on_postgres(postgres: Postgres) -> Iterator[None]:
    with site.database(postgres.create_database()):
        yield


@pytest.fixture
def database(on_postgres: None) -> Iterator[None]:
    """In place of the database of the other tests."""
    site.empty()
    yield
    site.empty()


@pytest.fixture
def caller(app: Celery, api: Caller) -> Caller:
    assert connection.vendor == "postgresql"
    return api


@schema.parametrize()
@settings(COMMON, max_examples=15)
def test_every_route_keeps_to_its_schema(case: schemathesis.Case, caller: Caller) -> None:
    ask(case, caller)


def test_what_postgres_refuses_is_no_fault_of_the_server(app: Celery, api: Caller) -> None:
    @app.task(name="shop.odd", shared=False)
    def odd(*args: object) -> None:
        """Never runs here."""

    for argument in ("nul \x00", "lone \ud800", 10**30, {"\x00": ["\udfff"]}):
        made = api("POST", "jobs", {"task": "shop.odd", "args": [argument]})
        assert made.status_code == 201, made.content
        job = made.json()["task_id"]
        assert api("GET", f"jobs/{job}").status_code == 200
        assert api.ok("POST", "jobs/cancel", {"task_ids": [job]})["count"] == 1
