"""Every way in, whatever it leads to: each is refused to who has no permission, and none is unknown here.

Whoever adds a command, a route, a button, or a page or an action of admin finds it named by a test that fails
until it has a permission and, where it changes something, a row in the table of verbs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import click
import pytest
from celery import Celery
from click.testing import CliRunner
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.contrib.auth.models import Permission, User
from django.db.models import Model
from django.http import HttpRequest
from django.test import Client
from django.urls import URLPattern
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)

from queueops.admin import operate, resource_operate
from queueops.api.app import api
from queueops.cli import root
from queueops.dashboard import urls as dashboard
from queueops.dashboard.actions import ACTIONS
from queueops.models import ApiToken, AuditEntry, DeadLetter, OrgLimit, OutboxEntry, Resource
from tasks.models import Delivery, Endpoint
from tests.support import letters
from tests.surfaces.verbs.table import VERBS, Verb

# The command line

#: What commands need that only look, and what the table does not try.
LOOKS: dict[tuple[str, ...], tuple[str, ...]] = {
    **dict.fromkeys(
        (
            *(("queue", name) for name in ("list", "status", "metrics", "health", "stuck", "failures")),
            *(("queue", name) for name in ("tasks", "error-summary", "throughput", "slow-jobs")),
            *(("job", "list"), ("job", "overdue"), ("dlq", "list"), ("dlq", "groups"), ("org", "list")),
            *(("resource", "list"), ("panic", "status"), ("worker", "status"), ("worker", "wanted")),
            *(("schedule", "list"), ("audit", "list"), ("metrics", "serve"), ("token", "list")),
            *(("system", "check"), ("system", "alerts"), ("system", "config", "show")),
        ),
        (),
    ),
    **dict.fromkeys((("job", name) for name in ("info", "wait", "explain")), ("a-job",)),
    ("dlq", "show"): ("1",),
    ("org", "stats"): ("acme",),
    ("panic", "history"): ("whatsapp",),
    ("schedule", "show"): ("nightly",),
    # It becomes the worker, in the place of the test.
    ("worker", "start"): ("--show",),
}
#: Commands that tell nothing of what is in the queues.
OPEN = {("completion",)}
NAMES = {"LETTER": "1", "ROW": "1", "FINGERPRINT": "f" * 16, "maria": "nobody"}


def commands(group: click.Group = root, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


def test_every_command_is_refused_to_who_has_no_permission(app: Celery) -> None:
    known = set(commands()) - OPEN
    tried = [(verb.cli[:2], verb.cli[2:]) for verb in VERBS if verb.cli]
    tried += list(LOOKS.items())
    assert known == {words for words, _ in tried}
    User.objects.create_user("nobody")
    for words, rest in tried:
        line = [*words, *(NAMES.get(word, word) for word in rest), "--user", "nobody"]
        done = CliRunner().invoke(root, line, prog_name="queueops")
        assert done.exit_code == 5, f"{line}: {done.exit_code}\n{done.stdout}\n{done.stderr}"
        assert "needs the permission queueops." in done.stderr, line
    assert not AuditEntry.objects.exists()


# The API: what nobody may is in tests/surfaces/api/test_permissions.py, by its schema


def operations() -> list[tuple[str, str]]:
    """Method and path of every operation that is routed."""
    return [
        (method, path.strip("/"))
        for _, router in api._routers
        for path, view in router.path_operations.items()
        for operation in view.operations
        for method in operation.methods
    ]


def test_no_route_is_hidden_from_the_schema_and_each_that_changes_something_is_in_the_table() -> None:
    def pattern(path: str) -> str:
        return re.sub(r"\{[^}]*\}", "[^/]+", path)

    paths = api.get_openapi_schema(path_prefix="")["paths"]
    told = [(method.upper(), pattern(path.strip("/"))) for path, item in paths.items() for method in item]
    assert sorted(told) == sorted((method, pattern(path)) for method, path in operations())
    tried = {verb.api[0] for verb in VERBS if verb.api}
    for method, path in told:
        assert method == "GET" or any(re.fullmatch(path, one) for one in tried), f"{method} {path}"


# The dashboard: what its actions refuse is in tests/surfaces/dashboard/test_permissions.py

BASE = "/admin/queues/"
#: Pages that lead elsewhere, and tell nothing themselves.
LEAD = {"find"}


def test_every_page_of_the_dashboard_is_refused_to_who_has_no_permission(app: Celery) -> None:
    names = {"name": "standard", "task_id": "a-job"}
    nobody = Client()
    nobody.force_login(User.objects.create_user("nobody", is_staff=True))
    for one in dashboard.urlpatterns:
        if one.name == "do":
            continue
        given = {name: names[name] for name in one.pattern.converters}
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: given[found[1]], str(one.pattern))  # noqa: B023
        status = nobody.get(f"{BASE}{path}").status_code
        assert status == (302 if one.name in LEAD else 403), one.name
    assert not AuditEntry.objects.exists()


def test_every_button_has_a_permission_and_is_in_the_table() -> None:
    assert set(ACTIONS) == {verb.dashboard[0] for verb in VERBS if verb.dashboard}
    real = set(
        Permission.objects.filter(content_type__app_label="queueops").values_list("codename", flat=True)
    )
    assert {one for action in ACTIONS.values() for one in action.permissions} <= {
        f"queueops.{codename}" for codename in real
    }


# Admin


def pages() -> dict[type[Model], ModelAdmin[Any]]:
    """The pages of admin that are ours, or that we have made stricter."""
    return {
        model: page
        for model, page in admin.site._registry.items()
        if any(base.__module__.partition(".")[0] in ("queueops", "tasks") for base in type(page).__mro__)
    }


Rows = dict[type[Model], Model]


@pytest.fixture
def rows(app: Celery) -> Iterator[Rows]:
    """A row of each model that has such a page."""
    now = timezone.now()
    every = IntervalSchedule.objects.create(every=1, period="days")
    endpoint = Endpoint.objects.create(org="acme", url="https://example.com/in")
    owner = User.objects.create_user("otto")
    letter = letters.row()
    letter.save()
    made = [
        letter,
        every,
        endpoint,
        AuditEntry.objects.create(who="otto", verb="pause", target="queue bulk", surface="cli"),
        OrgLimit.objects.create(org="acme", max_in_flight=1),
        OutboxEntry.objects.create(
            queue="bulk", org="acme", task="shop.note", task_id="a-job", head={}, refused_at=now
        ),
        Resource.objects.create(name="whatsapp", max_in_flight=1),
        ApiToken.objects.create(user=owner, name="deploy", digest="0" * 64, hint="qo_12345"),
        PeriodicTask.objects.create(name="nightly", task="shop.note", interval=every),
        ClockedSchedule.objects.create(clocked_time=now + timedelta(days=1)),
        CrontabSchedule.objects.create(minute="1"),
        SolarSchedule.objects.create(event="sunset", latitude=1, longitude=1),
        Delivery.objects.create(
            endpoint=endpoint,
            org="acme",
            event_id="1",
            event_type="order",
            outcome="delivered",
            attempts=1,
            duration_ms=1,
            first_attempt_at=now,
            last_attempt_at=now,
        ),
    ]
    yield {type(one): one for one in made}
    endpoint.delete()


#: What Django's own pages are called, and whether they only show something.
SHOWS = {"changelist": True, "history": True, "add": False, "change": False, "delete": False}
#: Pages of ours: names in their addresses, each with what it may be.
OWN: dict[str, dict[str, tuple[Any, ...]]] = {
    "queueops_deadletter_operate": {"verb": tuple(operate.VERBS)},
    "queueops_deadletter_edit": {"letter_id": ()},
    "queueops_resource_operate": {"verb": tuple(resource_operate.VERBS)},
}
#: Pages of one row that have no form, so that nothing becomes of what is sent to them.
READ = {"queueops_deadletter_change"}


def ways(page: ModelAdmin[Any], row: Model) -> Iterator[tuple[str, str, bool]]:
    """Name and address of each page, and whether it only shows something."""
    label = f"{page.opts.app_label}_{page.opts.model_name}"
    base = f"/admin/{page.opts.app_label}/{page.opts.model_name}/"
    for one in page.get_urls():
        assert isinstance(one, URLPattern)
        if one.name is None:
            continue  # the way to a row's page
        route = str(one.pattern)
        if own := OWN.get(one.name):
            [(name, values)] = own.items()
            for value in values or (row.pk,):
                yield one.name, base + re.sub(rf"<\w+:{name}>", str(value), route), False
        else:
            shows = SHOWS[one.name.removeprefix(f"{label}_")] or one.name in READ
            yield one.name, base + route.replace("<path:object_id>", str(row.pk)), shows


def somebody(name: str, *codenames: str) -> User:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


def picture() -> dict[str, list[Any]]:
    return {model._meta.label: list(model._default_manager.order_by("pk").values()) for model in pages()}


def test_every_page_of_admin_is_refused_to_who_has_no_permission(rows: Rows) -> None:
    before = picture()
    nobody = Client()
    nobody.force_login(somebody("nobody"))
    for model, page in pages().items():
        for name, path, _ in ways(page, rows[model]):
            for answer in (nobody.get(path), nobody.post(path, {"post": "yes"})):
                # Of a token that is not one's own it is not even told that it is there.
                hidden = model is ApiToken and answer.headers.get("Location") == "/admin/"
                assert answer.status_code == 403 or hidden, name
    assert picture() == before


def test_who_may_only_look_changes_nothing_in_admin_and_is_offered_no_action(rows: Rows) -> None:
    views = [f"view_{page.opts.model_name}" for page in pages().values()]
    reader = somebody("reader", *views)
    before = picture()
    client = Client()
    client.force_login(reader)
    request = HttpRequest()
    request.user = reader
    for model, page in pages().items():
        assert not page.get_actions(request), page
        for name, path, shows in ways(page, rows[model]):
            answer = client.post(path, {"post": "yes"})
            assert answer.status_code == (200 if shows else 403), name
            if shows:
                assert client.get(path).status_code == 200, name
        for action in (one for _, one, _ in page._get_base_actions()):
            sent = {"action": action, "_selected_action": [rows[model].pk], "post": "yes"}
            client.post(f"/admin/{page.opts.app_label}/{page.opts.model_name}/", sent)
    assert picture() == before


def asked(verb: Verb) -> str:
    """What a row of the table asks of admin: an action, or the verb of a page that asks first."""
    if verb.admin is None:
        return ""
    path, form = verb.admin
    operated = re.search(r"operate/(\w+)/", path)
    return operated[1] if operated else str(form.get("action", ""))


def test_every_action_of_admin_is_in_the_table() -> None:
    tried = {asked(verb) for verb in VERBS}
    assert {*operate.VERBS, *resource_operate.VERBS} <= tried
    for model, page in pages().items():
        if model is Endpoint:
            continue  # a row of its own app, which no verb knows
        for action in (name for _, name, _ in page._get_base_actions()):
            # Django deletes as its own page of one row does; ours lead to the page that asks.
            assert action == "delete_selected" or tried & {action, action.removesuffix("_selected")}, action


@pytest.mark.parametrize("model", [DeadLetter, Resource])
def test_what_a_page_of_admin_asks_for_is_refused_without_just_that_permission(
    rows: Rows, model: type[Model]
) -> None:
    verbs: dict[str, Any] = dict(operate.VERBS if model is DeadLetter else resource_operate.VERBS)
    for name, verb in verbs.items():
        person = somebody(f"not-{name}")
        codename = verb.permission.partition(".")[2]
        person.user_permissions.set(Permission.objects.exclude(codename=codename))
        client = Client()
        client.force_login(person)
        path = f"/admin/queueops/{model._meta.model_name}/operate/{name}/"
        given = {"ids": rows[DeadLetter].pk, "name": "whatsapp"}
        assert client.get(path, given).status_code == 403, name
        assert client.post(path, given).status_code == 403, name
