"""The whole stack, started as `make up` starts it, and stopped as Ctrl-C stops it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

from deploy.local.lock import alive, parse
from tests.support.polling import eventually
from tests.support.ports import free_port

from .support import NAMES, ROOT, environment, python

pytestmark = pytest.mark.timeout(240)
LOGIN = "admin:secret-of-the-test"
WORKERS = {name: f"{name}@{os.uname().nodename}" for name in ("critical", "standard", "bulk")}
#: Remote control waits a second for answers by itself; with names it ends when all of them have answered.
PATIENT = ("--timeout", "20", "--destination")
PROCESSES = {"broker", "web", "critical", "standard", "bulk", "beat", "flower"}
ENQUEUE = """
for _ in range(3):
    app.tasks["celery.backend_cleanup"].apply_async(queue="bulk")
"""
CHORD = """
from celery import chord
part = app.tasks["celery.accumulate"]
result = chord([part.si(n, index=0).set(queue=q) for n, q in ((1, "critical"), (2, "standard"), (3, "bulk"))])
print(sorted(result(part.s(index=0)).get(timeout=60)))
"""


class Up:
    """A running stack with ports and data of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "output.txt"
        self.ports = {name: free_port() for name in NAMES}
        numbers = {name: str(number) for name, number in self.ports.items()}
        self.env = environment(
            SECRET_KEY="of-the-test",
            FLOWER_BASIC_AUTH=LOGIN,
            QUEUEOPS_VAR=str(folder),
            WORKER_CONCURRENCY="1",
            **numbers,
        )
        with self.log.open("w") as output:
            command = [sys.executable, "-m", "deploy.local.stack", "up"]
            self.process = subprocess.Popen(command, cwd=ROOT, env=self.env, stdout=output, stderr=output)

    def printed(self) -> str:
        return self.log.read_text()

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.printed()
        return "queueops is up" in self.printed()

    def pids(self) -> dict[str, int]:
        return parse((self.folder / "stack.lock").read_text())

    def get(self, port: str, path: str, login: str = "") -> tuple[int, str, str]:
        """Status, the address it redirects to, and the text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=20)
        headers = {"Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, response.headers.get("Location", ""), text

    def celery(self, *arguments: str) -> str:
        return self.run("-m", "celery", "-A", "config", *arguments)

    def python(self, code: str) -> str:
        """What this code prints where Django and the application are loaded."""
        return self.run("-c", f"import django; django.setup()\nfrom config.celery import app\n{code}")

    def run(self, *arguments: str) -> str:
        env = {**self.env, "DJANGO_SETTINGS_MODULE": "config.settings"}
        done = python(*arguments, env=env, timeout=90)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    stack = Up(tmp_path_factory.mktemp("up"))
    try:
        eventually(stack.is_up, within=150, what="the stack is up")
        yield stack
    finally:
        if stack.process.poll() is None:
            stack.process.send_signal(signal.SIGINT)
            stack.process.wait(timeout=100)


def test_admin_asks_for_a_login_and_the_root_leads_there(up: Up) -> None:
    assert up.get("WEB_PORT", "/")[:2] == (302, "/admin/")
    status, _, page = up.get("WEB_PORT", "/admin/login/")

    assert status == 200
    stylesheet = re.search(r'href="(/static/admin/css/base[^"]*\.css)"', page)
    assert stylesheet is not None
    assert up.get("WEB_PORT", stylesheet.group(1))[0] == 200


def test_the_printed_password_opens_admin(up: Up) -> None:
    password = re.search(r"user admin, password (\S+)", up.printed())
    assert password is not None

    browser = build_opener(HTTPCookieProcessor())
    login = f"http://127.0.0.1:{up.ports['WEB_PORT']}/admin/login/"
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.open(login).read().decode())
    assert token is not None
    form = {"username": "admin", "password": password.group(1), "csrfmiddlewaretoken": token.group(1)}
    page = browser.open(login + "?next=/admin/", urlencode(form).encode(), timeout=20).read().decode()

    assert "Site administration" in page


def test_every_queue_has_its_worker(up: Up) -> None:
    served = up.celery("inspect", *PATIENT, ",".join(WORKERS.values()), "active_queues", "--json")

    answers = json.loads(served[served.index("{") : served.rindex("}") + 1])
    queues = {name.partition("@")[0]: {queue["name"] for queue in rows} for name, rows in answers.items()}
    assert queues == {"critical": {"critical", "webhooks"}, "standard": {"standard"}, "bulk": {"bulk"}}


def test_flower_asks_for_its_login_and_shows_the_true_depth(up: Up) -> None:
    up.celery("control", *PATIENT, WORKERS["bulk"], "cancel_consumer", "bulk")
    up.python(ENQUEUE)

    def depths() -> dict[str, int]:
        status, _, page = up.get("FLOWER_PORT", "/api/queues/length", login=LOGIN)
        assert status == 200, page
        return {row["name"]: row["messages"] for row in json.loads(page)["active_queues"]}

    assert up.get("FLOWER_PORT", "/broker")[0] == 401
    # Flower knows the queues that workers have told it of when it asked last.
    true = {"bulk": 3, "critical": 0, "standard": 0, "webhooks": 0}
    eventually(lambda: depths() == true, within=30, what=f"the depths {true}")
    assert up.get("FLOWER_PORT", "/broker", login=LOGIN)[0] == 200
    up.celery("control", *PATIENT, WORKERS["bulk"], "add_consumer", "bulk")


def test_a_chord_collects_its_results_in_the_database(up: Up) -> None:
    assert up.python(CHORD).strip() == "[1, 2, 3]"


def test_a_worker_that_is_killed_is_there_again(up: Up) -> None:
    before = up.pids()

    os.kill(before["bulk"], signal.SIGKILL)

    eventually(
        lambda: up.pids().get("bulk", 0) not in (0, before["bulk"]),
        within=30,
        what="it has been started again",
    )
    assert up.pids() == {**before, "bulk": up.pids()["bulk"]}
    assert up.python(
        'print(app.tasks["celery.accumulate"].si(7, index=0).set(queue="bulk").delay().get(timeout=90))'
    )


def test_the_end_leaves_no_process_and_no_lock(up: Up) -> None:
    pids = up.pids()
    assert pids.keys() == {"stack", *PROCESSES}

    up.process.send_signal(signal.SIGINT)

    assert up.process.wait(timeout=100) == 0, up.printed()
    assert [name for name, pid in pids.items() if name != "stack" and alive(pid)] == []
    stopped = [line.partition("| ")[2] for line in up.printed().splitlines() if "| stopping " in line]
    assert stopped[0] == "stopping beat" and stopped[-1] == "stopping broker"
    assert (up.folder / "stack.lock").read_text() == ""
