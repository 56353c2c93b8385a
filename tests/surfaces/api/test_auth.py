"""Who may call: tokens and what bounds them, sessions with their CSRF token, and how often."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from celery import Celery
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.utils import timezone

from queueops import conf
from queueops.api import auth
from queueops.models import ApiToken
from tests.support import site
from tests.support.valkey import Valkey

from .conftest import BASE, Caller, Issue


@pytest.fixture(autouse=True)
def broker_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test before may have seen its broker away."""
    monkeypatch.setattr(auth, "_away_until", 0.0)


def test_without_a_token_nobody_is_let_in(app: Celery) -> None:
    problem = Caller().refused(401, "GET", "jobs")
    assert problem["type"] == "urn:queueops:problem:unauthenticated"
    assert Caller()("GET", "jobs")["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("secret", ["qo_wrong", "", "  ", "qo_" + "x" * 5000, "\x7f", "é"])
def test_a_token_that_nobody_made_is_refused(app: Celery, secret: str) -> None:
    response = Client().get(BASE + "jobs", headers={"Authorization": f"Bearer {secret}"})
    assert response.status_code == 401


def test_a_valid_token_is_let_in_and_its_use_noted(app: Celery, api: Caller) -> None:
    assert api.ok("GET", "jobs") == {"items": [], "next": None}
    token = ApiToken.objects.get()
    assert token.last_used_at is not None
    assert api.secret not in str(ApiToken.objects.values().get()), "only a hash is kept"
    # The next use within a minute writes nothing.
    api.ok("GET", "jobs")
    assert ApiToken.objects.get().last_used_at == token.last_used_at


def test_a_token_that_was_revoked_or_has_expired_or_whose_user_left_is_worth_nothing(
    app: Celery, issue: Issue
) -> None:
    for ended in ("revoked_at", "expires_at"):
        caller = issue(superuser=True)
        caller.ok("GET", "jobs")
        ApiToken.objects.update(**{ended: timezone.now() - timedelta(seconds=1)})
        caller.refused(401, "GET", "jobs")
    caller = issue(superuser=True)
    caller.ok("GET", "jobs")
    User.objects.update(is_active=False)
    caller.refused(401, "GET", "jobs")


def test_a_scope_holds_those_below_it(app: Celery, issue: Issue) -> None:
    read, operate = issue(superuser=True, scope="read"), issue(superuser=True, scope="operate")
    assert read.ok("GET", "jobs")
    problem = read.refused(403, "POST", "jobs/hold", {"task_ids": ["a"]})
    assert problem["detail"] == "This needs a token with the scope operate."
    assert operate.ok("GET", "jobs")
    assert operate.ok("POST", "jobs/hold", {"task_ids": ["a"]}) == {"words": {"a": "unknown"}, "count": 0}


def test_a_token_never_has_more_than_its_user(app: Celery, issue: Issue) -> None:
    caller = issue("view_jobs", scope="admin")
    assert caller.ok("GET", "jobs")
    problem = caller.refused(403, "POST", "jobs/cancel", {"task_ids": ["a"]})
    assert "queueops.cancel_job" in problem["detail"]


def test_a_person_who_is_logged_in_needs_the_csrf_token_for_changes(app: Celery) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("maria"))
    assert client.get(BASE + "jobs").status_code == 200
    refused = client.post(BASE + "jobs/hold", {"task_ids": ["a"]}, content_type="application/json")
    assert refused.status_code == 403 and "CSRF" in refused.json()["detail"]

    client.cookies["csrftoken"] = "a" * 32
    done = client.post(
        BASE + "jobs/hold",
        {"task_ids": ["a"]},
        content_type="application/json",
        headers={"X-CSRFToken": "a" * 32},
    )
    assert done.status_code == 200, done.content


@pytest.fixture
def slow_rate() -> Iterator[None]:
    with override_settings(QUEUEOPS={"API_RATE": "2/h", "API_BURST": 2}):
        conf.reset()
        yield
    conf.reset()


def test_each_token_has_a_rate_of_its_own(app: Celery, issue: Issue, slow_rate: None) -> None:
    one, other = issue(superuser=True), issue(superuser=True)
    assert one.ok("GET", "jobs") and one.ok("GET", "jobs")
    refused = one("GET", "jobs")
    assert refused.status_code == 429
    assert 1000 < int(refused["Retry-After"]) <= 1800
    assert refused.json()["type"] == "urn:queueops:problem:rate-limited"
    assert other.ok("GET", "jobs")


def test_without_a_broker_the_rate_is_not_counted_and_the_answer_says_who_is_away(api: Caller) -> None:
    server = Valkey()
    server.close()
    with site.celery_app(server.broker_url):
        response = api("GET", "jobs")
        assert (response.status_code, response["Retry-After"]) == (503, "5")
        assert response.json()["type"] == "urn:queueops:problem:broker-unavailable"
        # What needs no broker goes on.
        assert api("GET", "nowhere").status_code == 404


def test_without_a_database_the_answer_says_so(app: Celery, api: Caller) -> None:
    from django.db import connections

    used = connections.databases["default"]
    site._use({**used, "NAME": "/nonexistent/db.sqlite3"})
    try:
        response = api("GET", "jobs")
    finally:
        site._use(used)
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert response.json()["type"] == "urn:queueops:problem:database-unavailable"
