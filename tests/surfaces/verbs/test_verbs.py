"""One table of verbs, through every surface: the same act, the same entry, none without permission."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from click.testing import CliRunner
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from queueops import ops
from queueops.ops import broker
from tests.support.valkey import Valkey
from tests.surfaces.verbs.scene import Scene
from tests.surfaces.verbs.table import ELSEWHERE, VERBS, Verb

API = "/api/v1/admin/queue/"
DASHBOARD = "/admin/queues/do/"
BY_NAME = [pytest.param(verb, id=verb.name) for verb in VERBS]


@pytest.fixture
def scene(app: Celery, valkey: Valkey) -> Iterator[Scene]:
    with broker.store() as store:
        yield Scene(app, valkey, store)


def person(verb: Verb, *, may: bool) -> User:
    """Somebody who may do just this, or everything else."""
    user = User.objects.create_user("maria", password="secret", is_staff=True)
    named = (verb.permission, *verb.also)
    chosen = Permission.objects.filter(codename__in=named)
    assert chosen.count() == len(named)
    if not may:
        chosen = Permission.objects.exclude(codename=verb.permission)
    user.user_permissions.set(chosen)
    return user


def filled(value: Any, scene: Scene) -> Any:
    """The value with what `prepare` has made in the places of its names."""
    if isinstance(value, dict):
        return {key: filled(one, scene) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [filled(one, scene) for one in value]
    if value == "IN_AN_HOUR":
        return (timezone.now() + timedelta(hours=1)).isoformat()
    if value == "NOW":
        return timezone.now().isoformat()
    if value == "A_MONTH_AGO":
        return (timezone.now() - timedelta(days=30)).isoformat()
    if isinstance(value, str):
        found = scene.names.get(value)
        if found is not None:
            return int(found) if value in ("ENTRY", "LETTER") else found
        for name, one in scene.names.items():
            value = value.replace(name, one)
    return value


class Refused(Exception):
    """The surface has said that the permission is missing."""


def by_cli(verb: Verb, scene: Scene, user: User) -> None:
    from queueops.cli import root

    assert verb.cli is not None
    words = [str(filled(word, scene)) for word in verb.cli]
    done = CliRunner().invoke(root, [*words, "--user", user.username], prog_name="queueops")
    if done.exit_code == 5:
        assert verb.permission in done.stderr
        raise Refused
    assert done.exit_code in verb.codes, (
        f"{words}: {done.exit_code}\n{done.stdout}\n{done.stderr}\n{done.exception!r}"
    )


def by_api(verb: Verb, scene: Scene, user: User) -> None:
    assert verb.api is not None
    path, body = filled(verb.api, scene)
    client = Client()
    client.force_login(user)
    answer = client.post(API + path, json.dumps(body), content_type="application/json")
    if answer.status_code == 403:
        assert verb.permission in answer.json()["detail"]
        raise Refused
    assert answer.status_code < 300, answer.content


def by_dashboard(verb: Verb, scene: Scene, user: User) -> None:
    assert verb.dashboard is not None
    name, form = filled(verb.dashboard, scene)
    client = Client()
    client.force_login(user)
    answer = client.post(f"{DASHBOARD}{name}/", form)
    if answer.status_code == 403:
        assert verb.permission in answer.content.decode()
        raise Refused
    assert answer.status_code == 302, answer.content
    told = {str(message): message.level_tag for message in answer.wsgi_request._messages}
    assert told, "it says nothing of what it did"
    assert "error" not in told.values(), told


def by_admin(verb: Verb, scene: Scene, user: User) -> None:
    assert verb.admin is not None
    path, form = filled(verb.admin, scene)
    client = Client()
    client.force_login(user)
    answer = client.post(f"/admin/queueops/{path}", form)
    if answer.status_code == 403:
        raise Refused
    assert answer.status_code == 302, answer.content


SURFACES = {"cli": by_cli, "api": by_api, "dashboard": by_dashboard, "admin": by_admin}


@pytest.mark.parametrize("verb", BY_NAME)
def test_every_surface_does_the_same_and_says_so_in_the_audit(verb: Verb, scene: Scene) -> None:
    done: dict[str, Any] = {}
    for surface in verb.surfaces:
        scene.clear()
        verb.prepare(scene)
        before = scene.picture()
        SURFACES[surface](verb, scene, person(verb, may=True))
        picture, audit = scene.picture(), scene.audit()
        assert audit, f"{surface} leaves no entry in the audit log"
        assert {entry_surface(scene)} == {surface}
        done[surface] = (before, picture, audit)
    before, picture, audit = next(iter(done.values()))
    for surface, found in done.items():
        assert found[:2] == (before, picture), f"{surface} does something else than {next(iter(done))}"
        if surface == "admin" or verb.told:
            # Admin's forms hold whole rows, and it describes letters by its own filters.
            assert [(one[0], one[3]) for one in found[2]] == [(one[0], one[3]) for one in audit]
        else:
            assert found[2] == audit, f"{surface} tells it in another way than {next(iter(done))}"


def entry_surface(scene: Scene) -> str:
    from queueops.models import AuditEntry

    [one] = set(AuditEntry.objects.values_list("surface", flat=True))
    return str(one)


def verbs_of_operations() -> set[str]:
    """What somebody can ask for and that leaves an entry in the audit log, as "module.function"."""
    found = set()
    for module in pkgutil.iter_modules(ops.__path__):
        home = importlib.import_module(f"queueops.ops.{module.name}")
        for name, function in inspect.getmembers(home, inspect.isfunction):
            public = function.__module__ == home.__name__ and not name.startswith("_")
            if public and next(iter(inspect.signature(function).parameters), "") == "actor":
                found.add(f"{module.name}.{name}")
    return {name for name in found if name.rpartition(".")[2] not in READS} - {"audit.record"}


#: Words of verbs that only look.
READS = frozenset(
    {"check", "counted", "dry_run", "examine", "explain", "figures", "follow", "groups", "info", "listed"}
    | {"opened", "overdue", "shown", "stats", "status", "stuck", "wait_for", "wanted"}
)


def test_no_verb_is_forgotten() -> None:
    tried = {verb.function for verb in VERBS}
    assert verbs_of_operations() == tried | ELSEWHERE.keys()


@pytest.mark.parametrize("verb", BY_NAME)
def test_nobody_does_it_without_the_permission(verb: Verb, scene: Scene) -> None:
    for surface in verb.surfaces:
        scene.clear()
        verb.prepare(scene)
        before = scene.picture()
        with pytest.raises(Refused):
            SURFACES[surface](verb, scene, person(verb, may=False))
        assert scene.picture() == before, f"{surface} has done it"
        assert not scene.audit(), f"{surface} says in the audit log that it was done"
