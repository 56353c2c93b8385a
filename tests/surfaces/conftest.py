"""Admin, as a person meets it: over Django's test client, on a real database and a real broker."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from tests.ops.conftest import app, database, project

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
