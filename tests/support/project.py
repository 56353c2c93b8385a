"""A Django project with queueops in it, on a database of its own, beside a stack."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from typing import Any

import psycopg

from .stack import QUICK, Stack
from .worker import ROOT, Worker, environment

APP = "tests.apps.django_ledger"


LETTERS = (
    "SELECT id, task_id, org, task, reason, status, error_class, attempt_count, replay_number "
    "FROM queueops_deadletter ORDER BY id"
)


def migrate(database_url: str) -> None:
    """Make the tables of ``tests/apps/settings.py`` in a database."""
    settings = {"DATABASE_URL": database_url, "DJANGO_SETTINGS_MODULE": "tests.apps.settings"}
    command = [sys.executable, "-m", "django", "migrate", "-v", "0", "--skip-checks"]
    subprocess.run(command, cwd=ROOT, env=environment(settings), check=True, timeout=120)


class Project:
    """``tests/apps/settings.py`` on the migrated ``database_url``; its worker and its code run in processes
    of their own, so that this one needs no Django."""

    def __init__(self, stack: Stack, database_url: str) -> None:
        self.stack = stack
        self.database_url = database_url
        self.media = stack.folder / "media"
        self.own = {"DATABASE_URL": database_url, "LEDGER_MEDIA": str(self.media)}

    def worker(self, **options: Any) -> Worker:
        """Start a worker of the project and wait until it consumes."""
        options["env"] = {**self.own, **options.get("env", {})}
        return self.stack.worker(app=APP, **options)

    def python(self, code: str, *, within: float = 60.0) -> Any:
        """Run ``code`` in the project; return what it has put into ``answer``, by way of JSON."""
        script = (
            f"import json\nfrom {APP} import app\nfrom tests.apps import tasks\nanswer = None\n"
            f"{textwrap.dedent(code)}\nprint(json.dumps(answer))"
        )
        settings = {
            **QUICK,
            "QUEUEOPS_BROKER_URL": self.stack.broker.broker_url,
            **self.own,
            "LEDGER_WORKER": "",
        }
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=environment(settings),
            capture_output=True,
            text=True,
            timeout=within,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout.splitlines()[-1])

    def letters(self) -> list[dict[str, Any]]:
        """The rows of dead letters, oldest first."""
        with closing(self._connect()) as connection:
            cursor = connection.execute(LETTERS)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _connect(self) -> Any:
        # By SQL and not by a process of the project: tests ask again and again.
        if self.database_url.startswith("sqlite"):
            return sqlite3.connect(self.database_url.removeprefix("sqlite:///"), timeout=20)
        return psycopg.connect(self.database_url, connect_timeout=5)
