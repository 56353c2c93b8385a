"""A Django project in this process, on a database of its own and on the run's broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery

from tests.support import site
from tests.support.valkey import Valkey

site.configure()


@pytest.fixture(scope="session")
def project() -> Iterator[None]:
    """The project's database, migrated."""
    with site.database():
        yield


@pytest.fixture
def database(project: None) -> Iterator[None]:
    """The project's database, empty."""
    site.empty()
    yield
    site.empty()


@pytest.fixture
def app(database: None, valkey: Valkey) -> Iterator[Celery]:
    """The project's Celery application on the run's broker."""
    with site.celery_app(valkey.broker_url) as made:
        yield made
