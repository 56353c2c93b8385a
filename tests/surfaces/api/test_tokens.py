"""Tokens: who makes them, for whom, how they are shown once, and how they end."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from celery import Celery
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.utils import timezone

from queueops.errors import TokenRefused
from queueops.models import ApiToken, AuditEntry, Scope
from queueops.ops import tokens
from queueops.ops.permissions import Actor
from tests.surfaces.conftest import login

from .conftest import Caller

__all__ = ["login"]

ME = Actor.shell("maria")
LIST = "/admin/queueops/apitoken/"


@pytest.fixture
def user(database: None) -> User:
    return User.objects.create_user("robot")


def person(*codenames: str) -> Actor:
    from django.contrib.auth.models import Permission

    made = User.objects.create_user(f"person-{User.objects.count()}", is_staff=True)
    made.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return Actor.of(User.objects.get(pk=made.pk), AuditEntry.Surface.ADMIN)


def test_a_token_is_made_known_and_revoked(user: User) -> None:
    made = tokens.create(ME, user, " deploy ", Scope.OPERATE)
    assert re.fullmatch(r"qo_[\w-]{43}", made.secret)
    found = tokens.bearer(made.secret)
    assert found is not None and (found.pk, found.name, found.scope) == (made.row.pk, "deploy", "operate")
    assert tokens.bearer(made.secret + "x") is None

    assert tokens.revoke(ME, [made.row.pk]) == 1
    assert tokens.bearer(made.secret) is None
    assert tokens.revoke(ME, [made.row.pk]) == 0, "once is enough"
    told = [(entry.verb, entry.target, entry.parameters) for entry in AuditEntry.objects.order_by("pk")]
    target = f"token {made.row.pk} (deploy) of robot"
    assert told == [
        ("create_token", target, {"name": "deploy", "scope": "operate"}),
        ("revoke_token", target, {}),
    ]
    assert made.secret not in str(told)


@pytest.mark.parametrize(("name", "days"), [("", None), ("  ", None), ("x" * 101, None), ("x", -1)])
def test_a_token_without_a_name_or_a_future_is_refused(user: User, name: str, days: int | None) -> None:
    expires = None if days is None else timezone.now() + timedelta(days=days)
    with pytest.raises(TokenRefused):
        tokens.create(ME, user, name, expires_at=expires)
    assert not ApiToken.objects.exists() and not AuditEntry.objects.exists()


def test_people_make_tokens_of_their_own_only(user: User) -> None:
    nobody, maker = person(), person("create_apitoken")
    with pytest.raises(PermissionDenied, match="create_apitoken"):
        tokens.create(nobody, nobody.user, "mine")
    with pytest.raises(PermissionDenied, match="of their own only"):
        tokens.create(maker, user, "theirs")
    mine = tokens.create(maker, maker.user, "mine").row
    theirs = tokens.create(ME, user, "theirs").row
    assert tokens.listed(maker) == [mine]
    assert tokens.listed(ME) == [theirs, mine]
    with pytest.raises(PermissionDenied):
        tokens.listed(nobody)

    with pytest.raises(PermissionDenied, match="revoke_apitoken"):
        tokens.revoke(maker, [mine.pk, theirs.pk])
    assert not ApiToken.objects.filter(revoked_at__isnull=False).exists(), "all or none"
    assert tokens.revoke(maker, [mine.pk]) == 1
    assert tokens.revoke(person("revoke_apitoken"), [theirs.pk]) == 1


def test_admin_shows_a_new_token_once(app: Celery, login: Callable[..., Client]) -> None:
    client = login("create_apitoken", "view_jobs")
    form = client.get(f"{LIST}add/").content.decode()
    assert 'name="user"' not in form, "for oneself"
    page = client.post(f"{LIST}add/", {"name": "script", "scope": "read", "expires_at_0": ""})
    assert "no-store" in page["Cache-Control"]
    [secret] = re.findall(r">(qo_[\w-]{43})<", page.content.decode())

    assert Caller(secret).ok("GET", "jobs") == {"items": [], "next": None}
    listed = client.get(LIST).content.decode()
    assert "script" in listed and secret not in listed
    shown = client.get(f"{LIST}{ApiToken.objects.get().pk}/change/").content.decode()
    assert "script" in shown and secret not in shown

    client.post(LIST, {"action": "revoke_selected", "_selected_action": [str(ApiToken.objects.get().pk)]})
    Caller(secret).refused(401, "GET", "jobs")
    assert AuditEntry.objects.latest("pk").surface == "admin"


def test_admin_refuses_a_past_end_and_shows_nobody_the_tokens_of_others(
    user: User, login: Callable[..., Client]
) -> None:
    theirs = tokens.create(ME, user, "theirs").row
    client = login("create_apitoken")
    sent = {"name": "x", "scope": "read", "expires_at_0": "2020-01-01", "expires_at_1": "00:00:00"}
    assert "This time has passed." in client.post(f"{LIST}add/", sent).content.decode()
    assert "theirs" not in client.get(LIST).content.decode()
    assert client.get(f"{LIST}{theirs.pk}/change/").status_code == 302
    client.post(LIST, {"action": "revoke_selected", "_selected_action": [str(theirs.pk)]})
    theirs.refresh_from_db()
    assert theirs.revoked_at is None
    assert login().get(LIST).status_code == 403


def test_a_superuser_makes_a_token_for_somebody_else(user: User, login: Callable[..., Client]) -> None:
    client = login(superuser=True)
    sent = {"name": "robot's", "scope": "admin", "user": str(user.pk), "expires_at_0": "", "expires_at_1": ""}
    page = client.post(f"{LIST}add/", sent).content.decode()
    assert "of robot" in page
    assert ApiToken.objects.get().user == user
