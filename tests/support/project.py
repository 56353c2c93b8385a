"""A Django project with queueops in it, on a database of its own, beside a stack."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import Any

from .stack import QUICK, Stack
from .worker import ROOT, Worker, environment

APP = "tests.apps.django_ledger"


class Project:
    """``tests/apps/settings.py`` on ``database_url``, migrated; its worker and its code run in processes of
    their own, so that this one needs no Django."""

    def __init__(self, stack: Stack, database_url: str) -> None:
        self.stack = stack
        self.database_url = database_url
        self.python("from django.core.management import call_command; call_command('migrate', verbosity=0)")

    def worker(self, **options: Any) -> Worker:
        """Start a worker of the project and wait until it consumes."""
        options["env"] = {"DATABASE_URL": self.database_url, **options.get("env", {})}
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
            "DATABASE_URL": self.database_url,
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
        fields = (
            "'task_id', 'org', 'task', 'reason', 'status', 'error_class', 'attempt_count', 'replay_number'"
        )
        return list(
            self.python(
                f"""
                from queueops.models import DeadLetter
                answer = list(DeadLetter.objects.order_by("pk").values("pk", {fields}))
                """
            )
        )
