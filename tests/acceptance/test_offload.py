"""Large arguments beside the broker, with real workers: there for every attempt, and gone at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.polling import eventually
from tests.support.project import Project

SIZE = 300_000
POLICY = {"RETRY_POLICIES": {"standard": {"base_seconds": 0.2}}}
#: Attempts for longer than the test takes to bring back what is away.
PERSISTENT = {"RETRY_POLICIES": {"standard": {"base_seconds": 0.5, "cap_seconds": 0.5, "attempts": 20}}}
REPLAY = """
from queueops.models import DeadLetter
from queueops.ops import dead_letters
from queueops.ops.permissions import Actor
answer = dead_letters.replay(Actor.shell("maria"), [DeadLetter.objects.get().pk]).count
"""


def files(project: Project) -> list[Path]:
    return list(project.media.rglob("*.json"))


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent"])
def test_the_body_gets_its_arguments_in_every_attempt_and_then_they_are_gone(
    project: Project, pool: str
) -> None:
    stack = project.stack
    project.python(f"tasks.weigh.delay('job', {SIZE} * 'x', times=2)")
    project.python("tasks.weigh.delay('small', 'xx')")
    assert len(files(project)) == 1
    project.worker(pool=pool, concurrency=1, settings=POLICY)
    stack.wait_ended(f"job {SIZE}", "small 2", within=20)
    stack.wait_empty()
    assert stack.ledger.starts(f"job {SIZE}") == 3
    eventually(lambda: not files(project), within=5, what="the end of the file")


def test_a_task_that_retries_itself_with_other_arguments_gets_those(project: Project) -> None:
    stack = project.stack
    project.python(f"tasks.weigh_other.delay('job', {SIZE} * 'x')")
    project.worker(pool="threads", concurrency=1)
    stack.wait_ended(f"job {2 * SIZE}", within=20)
    stack.wait_empty()
    assert stack.ledger.starts(f"job {SIZE}") == 1


def test_a_dead_letter_keeps_them_for_its_replay(project: Project) -> None:
    stack = project.stack
    project.python(f"tasks.weigh.apply_async(('job', {SIZE} * 'x', 9), attempts=1)")
    project.worker(pool="prefork", concurrency=1)
    letters = eventually(project.letters, within=20, what="the row of its letter")
    assert letters[0]["reason"] == "failed"
    assert len(files(project)) == 1
    assert project.python(REPLAY) == 1
    eventually(lambda: stack.ledger.starts(f"job {SIZE}") == 2, within=20, what="the replay's run")
    eventually(lambda: len(project.letters()) == 2, within=20, what="its letter")
    assert len(files(project)) == 1


def test_arguments_that_are_away_are_an_error_of_the_attempt(project: Project) -> None:
    stack = project.stack
    project.python(f"tasks.weigh.delay('job', {SIZE} * 'x')")
    [file] = files(project)
    hidden = file.rename(file.with_suffix(".hidden"))
    project.worker(pool="prefork", concurrency=1, settings=PERSISTENT)
    eventually(lambda: stack.snapshot().totals["retried"] >= 1, within=20, what="a failed attempt")
    hidden.rename(file)
    stack.wait_ended(f"job {SIZE}", within=10)
    eventually(lambda: not files(project), within=5, what="the end of the file")


def test_a_batch_gets_them_too_in_every_attempt(project: Project) -> None:
    stack = project.stack
    for name in ("one", "two"):
        project.python(f"tasks.together.apply_async(({name!r}, 'once', {SIZE} * 'x'), offload=True)")
    project.worker(pool="prefork", concurrency=1, settings=POLICY)
    stack.wait_empty(within=30)
    for name in ("one", "two"):
        assert [entry.retries for entry in stack.ledger.of(name, "end")] == [0, 1]
    eventually(lambda: not files(project), within=5, what="the end of the files")
