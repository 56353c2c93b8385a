"""Server-sent events from a real uvicorn, about jobs that a real worker runs."""

from __future__ import annotations

import shutil
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.polling import eventually
from tests.support.project import Project
from tests.support.stack import QUICK, Stack
from tests.support.uvicorn import Events, Uvicorn

#: A web server for each test; tests/ops/test_events.py has the same without one.
pytestmark = pytest.mark.slow

SETTINGS = '{"EVENT_STREAMS": 3, "RETRY_POLICIES": {"standard": {"base_seconds": 0.5, "attempts": 2}}}'

LOGIN = """
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.backends.signed_cookies import SessionStore
user = User.objects.create_user("maria-{name}")
user.user_permissions.set(Permission.objects.filter(codename__in={codenames!r}))
session = SessionStore()
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.save()
answer = session.session_key
"""

Open = Callable[..., Events]


@pytest.fixture
def project(stack: Stack, migrated_sqlite: Path, tmp_path: Path) -> Project:
    """A project in processes of its own; the other surfaces' tests have theirs in this one."""
    own = tmp_path / "db.sqlite3"
    shutil.copy(migrated_sqlite, own)
    return Project(stack, f"sqlite:///{own}")


@pytest.fixture
def server(project: Project) -> Iterator[Uvicorn]:
    env = {
        **QUICK,
        "QUEUEOPS_BROKER_URL": project.stack.broker.broker_url,
        **project.own,
        "LEDGER_WORKER": "",
        "LEDGER_SETTINGS": SETTINGS,
        "DJANGO_SETTINGS_MODULE": "tests.apps.web_settings",
    }
    made = Uvicorn("tests.apps.web:application", env, project.stack.folder)
    yield made
    made.close()


def cookie(project: Project, *codenames: str) -> dict[str, str]:
    """A person who has just these permissions, logged in."""
    key = project.python(LOGIN.format(name=len(codenames), codenames=codenames))
    return {"Cookie": f"sessionid={key}"}


@pytest.fixture
def maria(project: Project) -> dict[str, str]:
    return cookie(project, "view_jobs", "view_operations")


@pytest.fixture
def follow(server: Uvicorn, maria: dict[str, str]) -> Iterator[Open]:
    opened = []

    def open_(query: str = "", **headers: str) -> Events:
        stream = Events(f"{server.url}/events?{query}", {**maria, **headers})
        opened.append(stream)
        stream.wait("open")
        return stream

    yield open_
    for stream in opened:
        stream.close()


def refused(url: str, headers: dict[str, str]) -> urllib.error.HTTPError:
    with pytest.raises(urllib.error.HTTPError) as raised:
        Events(url, headers)
    return raised.value


def test_what_a_worker_does_arrives_as_it_happens(project: Project, follow: Open) -> None:
    stack = project.stack
    worker = project.worker(pool="threads", concurrency=2, env={"LEDGER_SETTINGS": SETTINGS})
    everything, of_acme = follow(), follow("org=acme")
    assert everything.headers["Content-Type"] == "text/event-stream"

    job = stack.enqueue("run", "job", org="acme").id
    other = stack.enqueue("run", "other", org="beta").id
    done = of_acme.wait("succeeded", task_id=job)
    assert done.data["data"]["worker"].partition(":")[0]
    assert (done.data["task"], done.data["queue"], done.data["org"]) == ("ledger.run", "standard", "acme")
    everything.wait("succeeded", task_id=other)
    kinds = [one.event for one in everything.messages if one.data.get("task_id") == job]
    assert kinds == ["enqueued", "started", "succeeded"]
    ids = [one.id for one in everything.messages if one.id]
    assert ids == sorted(ids) and len(set(ids)) == len(ids)

    failing = stack.enqueue("fail", "failing", org="acme").id
    dead = of_acme.wait("dead", task_id=failing)
    assert dead.data["data"]["error"].endswith("Refused")
    [retrying] = of_acme.of("retrying", task_id=failing)
    assert retrying.data["data"]["attempt"] == 2
    assert retrying.data["data"]["retry_at"] > retrying.data["at"]
    assert retrying.data["data"]["error"].endswith("Refused")
    assert not of_acme.of("succeeded", task_id=other)

    snapshot = eventually(
        lambda: [
            one.data["data"]
            for one in everything.of("snapshot")
            if one.data.get("queue") == "standard" and one.data["data"]["ended_last_hour"] >= 4
        ],
        within=30,
        what="a snapshot that has counted them",
    )[-1]
    assert snapshot["workers"] == 1
    assert worker.process.poll() is None


def test_a_caller_waits_for_its_job(project: Project, follow: Open) -> None:
    job = project.stack.enqueue("run", "job").id
    other = project.stack.enqueue("run", "other").id
    stream = follow(f"task_id={job}")
    assert stream.wait("snapshot").data["data"]["state"] == "ready"

    project.worker(pool="threads", concurrency=1)
    stream.wait("succeeded", task_id=job)
    assert not [one for one in stream.messages if one.data.get("task_id") == other]
    assert len(stream.of("snapshot")) == 1, "of the job, not of the queues"


def test_a_dropped_connection_goes_on_where_it_was(project: Project, follow: Open) -> None:
    stack = project.stack
    first = follow()
    before = stack.enqueue("run", "before").id
    first.wait("enqueued", task_id=before)
    first.close()
    meanwhile = [stack.enqueue("run", f"meanwhile-{number}").id for number in range(20)]

    again = follow(**{"Last-Event-ID": first.last_id})
    again.wait("enqueued", task_id=meanwhile[-1])
    assert [one.data["task_id"] for one in again.of("enqueued")] == meanwhile
    assert not again.of("gap")


def test_who_was_away_for_too_long_is_told_so(project: Project, follow: Open) -> None:
    stack = project.stack
    first = follow()
    first.wait("enqueued", task_id=stack.enqueue("run", "before").id)
    first.close()
    with stack.broker.client() as client:
        client.xtrim("qo1:events", maxlen=0, approximate=False)

    again = follow(**{"Last-Event-ID": first.last_id})
    again.wait("gap")
    again.wait("snapshot")
    last = stack.enqueue("run", "after").id
    again.wait("enqueued", task_id=last)


def test_the_stream_outlives_the_broker(project: Project, follow: Open) -> None:
    """The broker's process stands still: connections stay open, and nobody answers."""
    stack = project.stack
    stream = follow()
    stack.broker.freeze()
    try:
        stream.wait("away")
    finally:
        stack.broker.thaw()
    stream.wait("back")
    job = stack.enqueue("run", "job").id
    stream.wait("enqueued", task_id=job)


def test_who_may_not_look_is_refused(project: Project, server: Uvicorn) -> None:
    url = f"{server.url}/events"
    assert refused(url, {}).code == 401
    nobody = cookie(project)
    answer = refused(url, nobody)
    assert answer.code == 403
    assert answer.headers["Content-Type"] == "application/problem+json"

    operator = cookie(project, "view_operations")
    assert refused(f"{url}?queue=standrad", operator).code == 404
    assert refused(f"{url}?task_id=x", operator).code == 403
    stream = Events(url, operator)
    stream.wait("snapshot")
    project.stack.enqueue("run", "job")
    stream.wait("snapshot", more_than=len(stream.of("snapshot")) + 3)
    assert not stream.of("enqueued")
    with project.stack.broker.client() as client:
        assert not client.exists("qo1:events"), "for such a one no job is told of"
    stream.close()


def test_there_are_only_so_many_streams(server: Uvicorn, maria: dict[str, str], follow: Open) -> None:
    streams = [follow() for _ in range(3)]
    answer = refused(f"{server.url}/events", maria)
    assert answer.code == 503
    assert int(answer.headers["Retry-After"]) > 0

    streams[0].close()

    def free() -> bool:
        try:
            follow()
        except urllib.error.HTTPError:
            return False
        return True

    eventually(free, within=30, what="the place of the one that has gone")
