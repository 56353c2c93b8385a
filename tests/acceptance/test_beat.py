"""Two beats: when the one that sends is killed or frozen, the other goes on, and nothing is sent twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.polling import eventually
from tests.support.project import APP, Project
from tests.support.stack import Stack
from tests.support.worker import ROOT, environment

#: What the test allows for; another one leads sooner on a machine with nothing else to do.
TAKEOVER_SECONDS = 30


class Beats:
    """Beats of one project, each in a process of its own."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project = project
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        settings = {
            "QUEUEOPS_BROKER_URL": self.project.stack.broker.broker_url,
            "DATABASE_URL": self.project.database_url,
            "LEDGER_WORKER": "",
        }
        with (self.folder / f"beat-{len(self.processes)}.log").open("wb") as log:
            command = [sys.executable, "-m", "celery", "-A", APP, "beat", "-l", "INFO", "--pidfile="]
            self.processes.append(
                subprocess.Popen(command, cwd=ROOT, env=environment(settings), stdout=log, stderr=log)
            )

    def leader(self) -> int:
        """The process id of the beat that sends, 0 for none."""
        with self.project.stack.broker.client() as client:
            value = client.get("qo1:lock:beat")
        return int(value.split(":")[1]) if value else 0

    def close(self) -> None:
        for number, process in enumerate(self.processes):
            process.kill()
            process.wait(10)
            print(f"--- beat {number} ---\n{(self.folder / f'beat-{number}.log').read_text()}")


@pytest.fixture
def beats(project: Project, tmp_path: Path) -> Iterator[Beats]:
    project.python(
        """
        from django_celery_beat.models import IntervalSchedule, PeriodicTask
        every = IntervalSchedule.objects.create(every=1, period="seconds")
        PeriodicTask.objects.create(
            name="tick", task="ledger.run", interval=every, args='["tick"]', queue="standard",
            headers='{"queueops": {"org": "acme"}}',
        )
        """
    )
    made = Beats(project, tmp_path)
    made.start()
    made.start()
    yield made
    made.close()


def ran(stack: Stack) -> list[str]:
    """The task ids of the entry's runs."""
    return [run.task_id for run in stack.ledger.entries() if run.event == "start"]


def test_another_beat_takes_over_within_seconds_and_no_time_is_sent_twice(
    stack: Stack, project: Project, beats: Beats
) -> None:
    project.worker(pool="threads", concurrency=2)
    eventually(lambda: len(ran(stack)) >= 2, within=30, what="two jobs of the entry")
    # When the one that sends is killed
    first = eventually(beats.leader, within=10, what="a leader")
    os.kill(first, signal.SIGKILL)
    killed = time.monotonic()
    eventually(lambda: beats.leader() not in (0, first), within=TAKEOVER_SECONDS, what="another leader")
    before = len(ran(stack))
    eventually(lambda: len(ran(stack)) > before, within=TAKEOVER_SECONDS, what="its first job")
    assert time.monotonic() - killed < TAKEOVER_SECONDS
    # And the next one is frozen until a third one leads, and goes on then
    second = eventually(beats.leader, within=10, what="its successor")
    beats.start()
    os.kill(second, signal.SIGSTOP)
    eventually(lambda: beats.leader() not in (0, second), within=30, what="a third leader")
    os.kill(second, signal.SIGCONT)
    before = len(ran(stack))
    eventually(lambda: len(ran(stack)) >= before + 3, within=20, what="three more jobs")
    assert max(Counter(ran(stack)).values()) == 1
    assert {run.org for run in stack.ledger.entries() if run.event == "start"} == {"acme"}
