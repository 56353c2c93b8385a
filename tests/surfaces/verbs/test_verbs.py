"""One table of verbs, through every surface: the same act, the same entry, none without permission."""

from __future__ import annotations

import importlib
import inspect
import itertools
import json
import pkgutil
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from click.testing import CliRunner
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from queueops import ops
from queueops.ops import broker
from tests.support.stack import Stack
from tests.support.valkey import Valkey
from tests.surfaces.verbs.scene import Scene
from tests.surfaces.verbs.table import ELSEWHERE, VERBS, Verb

API = "/api/v1/admin/queue/"
DASHBOARD = "/admin/queues/do/"
BY_NAME = [pytest.param(verb, id=verb.name) for verb in VERBS]


@pytest.fixture
def scene(stack: Stack, app: Celery, valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with broker.store() as store:
        yield Scene(app, valkey, store, stack, monkeypatch)


def person(verb: Verb) -> User:
    """Somebody who may do just this."""
    named = {*verb.permissions, *verb.also}
    chosen = Permission.objects.filter(codename__in=named)
    assert chosen.count() == len(named)
    user = User.objects.create_user("maria", password="secret", is_staff=True)
    user.user_permissions.set(chosen)
    return user


def stranger(permission: str) -> User:
    """Somebody who may do everything else."""
    user = User.objects.create_user("maria", password="secret", is_staff=True)
    user.user_permissions.set(Permission.objects.exclude(codename=permission))
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
    if value == "A_DAY_AGO":
        return (timezone.now() - timedelta(days=1)).isoformat()
    if value == "A_MONTH_AGO":
        return (timezone.now() - timedelta(days=30)).isoformat()
    if value == "LINES":
        return scene.file.splitlines()
    if value == "UPLOAD":
        return SimpleUploadedFile("letters.jsonl", scene.file.encode())
    if isinstance(value, str):
        found = scene.names.get(value)
        if found is not None:
            return int(found) if value in ("ENTRY", "LETTER") else found
        for name, one in scene.names.items():
            value = value.replace(name, one)
    return value


class Refused(Exception):
    """The surface has said that the permission is missing: which one, where it says that."""


def by_cli(verb: Verb, scene: Scene, user: User) -> None:
    from queueops.cli import root

    assert verb.cli is not None
    words = [str(filled(word, scene)) for word in verb.cli]
    given = scene.file if verb.reads else ""
    done = CliRunner().invoke(root, [*words, "--user", user.username], input=given, prog_name="queueops")
    if done.exit_code == 5:
        raise Refused(done.stderr)
    assert done.exit_code in verb.codes, (
        f"{words}: {done.exit_code}\n{done.stdout}\n{done.stderr}\n{done.exception!r}"
    )
    if verb.writes:
        scene.file = done.stdout


def by_api(verb: Verb, scene: Scene, user: User) -> None:
    assert verb.api is not None
    path, body = filled(verb.api, scene)
    client = Client()
    client.force_login(user)
    if verb.writes:
        answer = client.get(API + path, body)
    else:
        answer = client.post(API + path, json.dumps(body), content_type="application/json")
    if answer.status_code == 403:
        raise Refused(answer.json()["detail"])
    assert answer.status_code < 300, answer.content
    if verb.writes:
        scene.file = b"".join(answer).decode()


def by_dashboard(verb: Verb, scene: Scene, user: User) -> None:
    assert verb.dashboard is not None
    name, form = filled(verb.dashboard, scene)
    client = Client()
    client.force_login(user)
    answer = client.post(f"{DASHBOARD}{name}/", form)
    if answer.status_code == 403:
        raise Refused(answer.content.decode())
    if verb.writes:
        scene.file = b"".join(answer).decode()
        return
    assert answer.status_code == 302, answer.content
    told = {str(message): message.level_tag for message in answer.wsgi_request._messages}
    assert told, "it says nothing of what it did"
    assert "error" not in told.values(), told


def by_admin(verb: Verb, scene: Scene, user: User) -> None:
    assert verb.admin is not None
    path, form = filled(verb.admin, scene)
    address = path if path.startswith("/") else f"/admin/queueops/{path}"
    client = Client()
    client.force_login(user)
    offered = form.get("action", "") in client.get(address).content.decode()
    answer = client.post(address, form)
    if answer.status_code == 403 or not offered:
        # Of a page's actions only those are offered that the person may do; others are as good as unknown.
        raise Refused(verb.permission if "action" in form else "")
    told = {str(message): message.level_tag for message in answer.wsgi_request._messages}
    assert "error" not in told.values(), told
    if answer.status_code == 200:
        # What is said once stands on the answer itself.
        assert "errornote" not in answer.content.decode()
    else:
        assert answer.status_code == 302, answer.content


SURFACES = {"cli": by_cli, "api": by_api, "dashboard": by_dashboard, "admin": by_admin}


@pytest.mark.parametrize("verb", BY_NAME)
def test_every_surface_does_the_same_and_says_so_in_the_audit(verb: Verb, scene: Scene) -> None:
    done: dict[str, Any] = {}
    for surface in verb.surfaces:
        scene.clear()
        verb.prepare(scene)
        before = scene.picture()
        SURFACES[surface](verb, scene, person(verb))
        verb.after(scene)
        picture, audit = scene.picture(), scene.audit()
        assert picture != before, f"{surface} has done nothing that can be seen"
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
    tried = {name for verb in VERBS for name in (verb.function, verb.by_rows) if name}
    assert verbs_of_operations() == tried | ELSEWHERE.keys()


@pytest.mark.parametrize("verb", BY_NAME)
def test_nobody_does_it_without_each_of_its_permissions(verb: Verb, scene: Scene) -> None:
    for surface, permission in itertools.product(verb.surfaces, verb.permissions):
        scene.clear()
        verb.prepare(scene)
        before = scene.picture()
        with pytest.raises(Refused) as refused:
            SURFACES[surface](verb, scene, stranger(permission))
        # Django's own pages of rows do not say what is missing.
        assert permission in str(refused.value) or surface == "admin"
        assert scene.picture() == before, f"{surface} has done it"
        assert not scene.audit(), f"{surface} says in the audit log that it was done"
