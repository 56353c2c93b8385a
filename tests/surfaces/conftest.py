"""Admin, as a person meets it: over Django's test client, on a real database and a real broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from celery import Celery
from django.test import Client

from tests.ops.conftest import app, database, project
from tests.support.polling import eventually

__all__ = ["app", "database", "project"]

Login = Callable[..., Client]


@pytest.fixture
def login(database: None) -> Login:
    """Log a person in who has just these permissions (codenames of queueops), or all of them."""

    def logged_in(*codenames: str, superuser: bool = False) -> Client:
        from django.contrib.auth.models import Permission, User

        name = f"maria-{User.objects.count()}"
        user = User.objects.create_user(name, is_staff=True, is_superuser=superuser)
        found = Permission.objects.filter(content_type__app_label="queueops", codename__in=codenames)
        assert found.count() == len(codenames)
        user.user_permissions.set(found)
        client = Client()
        client.force_login(user)
        return client

    return logged_in


@pytest.fixture
def client(login: Login) -> Client:
    """A person who may do everything."""
    return login(superuser=True)


@pytest.fixture
def no_reader_stays(app: Celery, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The reader of events ends with the last stream of the test, and not seconds later in another test."""
    from queueops.ops import event_reader

    monkeypatch.setattr(event_reader, "LINGER_SECONDS", 0.0)
    yield
    eventually(lambda: not event_reader.reader.is_running, within=30, what="the end of the reader")
