"""`queueops worker`: a real worker is seen, scaled, quieted and stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from celery import Celery

from queueops.ops import worker_answers
from tests.support.polling import eventually
from tests.support.stack import Stack
from tests.surfaces.cli.conftest import Run


def test_a_worker_is_seen_scaled_quieted_and_stopped(
    app: Celery, stack: Stack, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a loaded machine a worker may take longer to answer than an operator is asked to wait.
    monkeypatch.setattr(worker_answers, "ANSWER_SECONDS", 20.0)
    worker = stack.worker(pool="threads", concurrency=2, queues=["standard"])

    def seen() -> Mapping[str, Any]:
        found: list[Mapping[str, Any]] = run("worker", "status", "--json").data
        assert len(found) == 1
        return found[0]

    assert eventually(lambda: seen()["name"] == worker.hostname, within=20)
    assert (seen()["pool"], seen()["slots"], seen()["queues"]) == ("threads", 2, ["standard"])
    assert worker.hostname in run("worker", "status", "--queue=standard").out
    stack.enqueue("hold", "job", "gate", org="acme")
    stack.wait_started("job")
    [current] = eventually(lambda: seen()["current"], within=20)
    assert (current["task"], current["org"]) == ("ledger.hold", "acme")
    assert "ledger.hold" in run("worker", "status").out

    scaled = run("worker", "scale", "standard", "--count=4", "--for", "2h", "--json").data
    assert (scaled["before"], scaled["after"]) == (2, 4)
    [wanted] = run("worker", "wanted", "standard", "--json").data
    assert wanted["wanted"] == 4
    assert run("worker", "scale", "standard", "--auto").out == "The rule holds again in standard.\n"
    assert [one["word"] for one in run("worker", "quiet", worker.hostname, "--json").data] == ["quiet"]
    assert eventually(lambda: seen()["quiet"], within=20)
    assert [one["word"] for one in run("worker", "unquiet", "--all", "--json").data] == ["unquiet"]
    # A pool of threads has no children to replace: it says so, and the exit code too.
    [refused] = run("worker", "restart", worker.hostname, "--yes", "--json", code=1).data
    assert refused["word"] == "cannot"
    stack.ledger.open("gate")
    assert "It ends when its running jobs have ended." in run("worker", "stop", "--all", "--yes").out
    assert worker.wait_exit() == 0


def test_the_command_of_a_worker_is_shown(app: Celery, run: Run) -> None:
    line = run("worker", "start", "bulk", "--slots=8", "--pool=threads", "--show").out

    assert "worker -Q bulk --pool threads -c 8" in line
    line = run("worker", "start", "--show").out
    assert "-Q bulk,critical,standard,webhooks" in line
    assert " -c " not in line, "settings and environment say how many jobs at once"


def test_without_a_worker_scale_says_how_to_start_one(app: Celery, run: Run) -> None:
    out = run("worker", "scale", "bulk", "4", code=1).out
    assert "worker -Q bulk -c 4" in out
    assert "Say how many slots, or --auto." in run("worker", "scale", "bulk", code=2).err
    assert "Name workers, or say --all." in run("worker", "quiet", code=2).err
    assert "No worker is there." in run("worker", "quiet", "--all").out
