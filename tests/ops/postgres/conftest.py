"""The project on a real PostgreSQL in place of its SQLite file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery
from django.db import connection

from queueops.engine.store import Store
from queueops.ops import broker
from tests.support import site
from tests.support.postgres import Postgres
from tests.support.valkey import Valkey


@pytest.fixture(scope="module")
def on_postgres(postgres: Postgres) -> Iterator[None]:
    with site.database(postgres.create_database()):
        yield


@pytest.fixture
def store(on_postgres: None, valkey: Valkey) -> Iterator[Store]:
    site.empty()
    assert connection.vendor == "postgresql"
    with site.celery_app(valkey.broker_url), broker.store() as opened:
        yield opened


@pytest.fixture
def app(store: Store) -> Celery:
    from celery import current_app

    return current_app._get_current_object()
