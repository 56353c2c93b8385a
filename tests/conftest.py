"""Servers of their own for every test run: nothing here touches a server that was there before."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clock import ManualClock
from tests.support.postgres import Postgres
from tests.support.project import Project, migrate
from tests.support.stack import Stack
from tests.support.valkey import Valkey


def pytest_configure() -> None:
    """A run that is asked to stop from outside takes its servers and workers along, as one by Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_valkey() -> Iterator[Valkey]:
    """One server in memory for the whole run; take ``valkey``, which is empty."""
    server = Valkey()
    yield server
    server.close()


@pytest.fixture(scope="session")
def ledger_valkey() -> Iterator[Valkey]:
    """The server that holds the ledger; it is never disturbed."""
    server = Valkey()
    yield server
    server.close()


@pytest.fixture
def valkey(shared_valkey: Valkey) -> Valkey:
    """The run's server, emptied. Tests that stop, kill or freeze it take ``durable_valkey``."""
    shared_valkey.flush()
    return shared_valkey


@pytest.fixture
def durable_valkey() -> Iterator[Valkey]:
    """A server for this test alone, with an append-only file: what it confirmed survives a kill."""
    server = Valkey(durable=True)
    yield server
    server.close()


@pytest.fixture
def stack(valkey: Valkey, ledger_valkey: Valkey, tmp_path: Path) -> Iterator[Stack]:
    """Broker, ledger, publisher and workers of this test."""
    made = Stack(valkey, ledger_valkey.url, tmp_path)
    yield made
    made.close()


@pytest.fixture
def durable_stack(durable_valkey: Valkey, ledger_valkey: Valkey, tmp_path: Path) -> Iterator[Stack]:
    """As ``stack``, with a broker that may be killed."""
    made = Stack(durable_valkey, ledger_valkey.url, tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL for the whole run; a test that stops it starts it again."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with all tables, made once and copied for each test."""
    path = tmp_path_factory.mktemp("migrated") / "db.sqlite3"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Postgres) -> str:
    """The name of a PostgreSQL database with all tables, made once and copied for each test."""
    address = postgres.create_database()
    migrate(address)
    return address.rpartition("/")[2]


@pytest.fixture
def project(stack: Stack, migrated_sqlite: Path, tmp_path: Path) -> Project:
    """A Django project on SQLite beside this test's broker."""
    own = tmp_path / "db.sqlite3"
    shutil.copy(migrated_sqlite, own)
    return Project(stack, f"sqlite:///{own}")


@pytest.fixture
def postgres_project(stack: Stack, postgres: Postgres, migrated_postgres: str) -> Iterator[Project]:
    """The same on PostgreSQL, which runs again after a test that has stopped it."""
    yield Project(stack, postgres.create_database(like=migrated_postgres))
    postgres.start()


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until the test moves it."""
    return ManualClock()
