"""No route does or tells anything without the scope of the token and the permission of its user."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from queueops.api.app import api as application
from queueops.models import AuditEntry, Scope

from .conftest import BASE, Issue

FILTER = {"filter": {"status": "parked"}}
JOBS = {"task_ids": ["a-job"]}
WORKERS = {"names": ["a@worker"]}
#: Bodies that fit the schema, of the routes that need one.
BODIES: dict[str, Any] = {
    "jobs": {"task": "shop.deliver"},
    "jobs/cancel": JOBS,
    "jobs/hold": JOBS,
    "jobs/release": JOBS,
    "jobs/retry": JOBS,
    "dead-letters/replay": FILTER,
    "dead-letters/replay-guarded": FILTER,
    "dead-letters/discard": FILTER,
    "dead-letters/purge": FILTER,
    "dead-letters/import": {"lines": ["{}"]},
    "dead-letters/1/edit-and-replay": {"args": [], "kwargs": {}},
    "workers/quiet": WORKERS,
    "workers/unquiet": WORKERS,
    "workers/restart": WORKERS,
    "workers/stop": WORKERS,
    "queues/bulk/scale": {"count": 5},
    "queues/bulk/drain": {"remove": True},
    "orgs/acme/throttle": {"queue": "bulk", "max_in_flight": 5, "until": "2999-01-01T00:00:00Z"},
    "orgs/acme/set-limit": {"weight": 2},
    "resources/stripe/set-limit": {"rate": "10/s"},
    "schedules": {"name": "nightly", "task": "shop.deliver", "cron": "0 0 * * *"},
}
NAMES = {"queue": "bulk", "org": "acme", "name": "stripe", "task": "shop.deliver", "task_id": "a-job"}


def routes() -> list[tuple[str, str, Scope]]:
    """Method, path with names in it, and scope of every route."""
    paths = application.get_openapi_schema(path_prefix="")["paths"]
    return [
        (method.upper(), path.lstrip("/").format(letter=1, schedule=1, **NAMES), Scope(operation["x-scope"]))
        for path, item in paths.items()
        for method, operation in item.items()
    ]


def body(method: str, path: str) -> Any:
    return BODIES.get(path, {}) if method == "POST" else None


def test_every_route_is_refused_to_who_has_no_permission(app: Celery, issue: Issue) -> None:
    caller = issue(scope="admin")
    for method, path, _ in routes():
        problem = caller.refused(403, method, path, body(method, path))
        assert "needs the permission" in problem["detail"], (method, path, problem)
    assert not AuditEntry.objects.exclude(verb="create_token").exists()


@pytest.mark.parametrize("scope", [Scope.READ, Scope.OPERATE])
def test_every_route_is_refused_to_a_token_with_too_small_a_scope(
    app: Celery, issue: Issue, scope: Scope
) -> None:
    caller = issue(scope=scope, superuser=True)
    beyond = [(method, path, needed) for method, path, needed in routes() if not scope.holds(needed)]
    assert len(beyond) > 10
    for method, path, needed in beyond:
        problem = caller.refused(403, method, path, body(method, path))
        assert problem["detail"] == f"This needs a token with the scope {needed.value}.", (method, path)
    assert not AuditEntry.objects.exclude(verb="create_token").exists()


def test_what_only_looks_leaves_no_entry_and_needs_no_more_than_read(app: Celery, issue: Issue) -> None:
    caller = issue(scope="read", superuser=True)
    for method, path, scope in routes():
        if method != "GET" or scope is not Scope.READ or path.endswith("events"):
            continue
        response = caller(method, path)
        assert response.status_code in (200, 404), (path, response.content)
    assert not AuditEntry.objects.exclude(verb="create_token").exists()


def test_every_change_is_a_post_and_every_get_looks() -> None:
    assert {method for method, _, _ in routes()} == {"GET", "POST"}
    destroying = {"purge", "forget", "drain", "set-limit", "reset-limit", "throttle", "cleanup", "repair"}
    for _, path, scope in routes():
        if path.rsplit("/", 1)[-1] in destroying:
            assert scope is Scope.ADMIN, path


def test_the_base_is_the_one_of_the_guides(app: Celery, issue: Issue) -> None:
    assert BASE == "/api/v1/admin/queue/"
    assert issue(superuser=True).ok("GET", "stats")["queues"]
