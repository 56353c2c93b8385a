"""The API as a program meets it: over HTTP requests with a token, on a real database and a real broker."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.ops.conftest import app, database, project

__all__ = ["app", "database", "project"]

BASE = "/api/v1/admin/queue/"


class Caller:
    """Sends requests with a token, and reads the answers."""

    def __init__(self, secret: str = "") -> None:
        self.secret = secret
        # As a server answers: an error of a view is a response, not an exception of the test.
        self.client = Client(raise_request_exception=False)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        if self.secret:
            headers = {"Authorization": f"Bearer {self.secret}", **headers}
        sent = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        return self.client.generic(method, BASE + path, headers=headers, **sent)

    def ok(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer that must be a success."""
        response = self(method, path, body)
        assert response.status_code < 300, response.content
        return response.json()

    def refused(self, status: int, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """The problem document of an answer that must be this refusal."""
        response = self(method, path, body)
        assert response.status_code == status, response.content
        assert response["Content-Type"] == "application/problem+json"
        problem: dict[str, Any] = response.json()
        assert problem["status"] == status and problem["type"].startswith("urn:queueops:problem:")
        return problem


Issue = Callable[..., Caller]


@pytest.fixture
def issue(database: None) -> Issue:
    """Make a caller whose token has a scope, and whose user just these permissions, or all of them."""

    def issued(*codenames: str, scope: str = "admin", superuser: bool = False) -> Caller:
        from django.contrib.auth.models import Permission, User

        from queueops.models import Scope
        from queueops.ops import tokens
        from queueops.ops.permissions import Actor

        user = User.objects.create_user(f"caller-{User.objects.count()}", is_superuser=superuser)
        found = Permission.objects.filter(content_type__app_label="queueops", codename__in=codenames)
        assert found.count() == len(codenames)
        user.user_permissions.set(found)
        return Caller(tokens.create(Actor.system("tests"), user, "tests", Scope(scope)).secret)

    return issued


@pytest.fixture
def api(issue: Issue) -> Caller:
    """A caller that may do everything."""
    return issue(superuser=True)
