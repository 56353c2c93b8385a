"""The tasks app in a Django project in this process, on a database of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from celery import Celery
from django.test import override_settings

from tests.support import site
from tests.support.valkey import Valkey

from .receiver import Receiver

if TYPE_CHECKING:
    from tasks.models import Endpoint

site.configure()


@pytest.fixture(scope="session")
def project() -> Iterator[None]:
    """The project's database, migrated."""
    with site.database():
        yield


@pytest.fixture
def database(project: None) -> Iterator[None]:
    """The project's database, empty."""
    from tasks.models import Endpoint

    site.empty()
    yield
    site.empty()
    Endpoint.objects.all().delete()


@pytest.fixture
def app(database: None, valkey: Valkey) -> Iterator[Celery]:
    """The project's Celery application on the run's broker, with the queue of webhooks."""
    with (
        override_settings(QUEUEOPS={"QUEUES": {"webhooks": {}}}),
        site.celery_app(valkey.broker_url) as made,
    ):
        yield made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A real HTTP server that takes everything until a test says otherwise."""
    with Receiver() as server:
        yield server


@pytest.fixture
def endpoint(database: None, receiver: Receiver) -> Endpoint:
    """An endpoint of the org acme at the receiver."""
    from tasks.models import Endpoint

    return Endpoint.objects.create(org="acme", url=receiver.url, allow_private=True)
