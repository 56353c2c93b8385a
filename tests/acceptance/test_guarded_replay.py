"""Letters replayed with a guard, by real workers: those that are mended run, those that are not stop it."""

from __future__ import annotations

from typing import Any

from tests.support.polling import eventually
from tests.support.project import Project
from tests.support.stack import Stack

REPLAY = """
    from queueops.ops import guarded_replay, letter_list
    from queueops.ops.permissions import Actor

    matching, described = letter_list.matching(error="refused", queue="{queue}")
    done = guarded_replay.replay_guarded(
        Actor.shell("maria"), matching, described, canary=2, rate=50.0, wait_seconds=40.0, after={after!r}
    )
    answer = [done.verdict, done.count, done.canary_succeeded, done.canary_failed, done.after, done.stopped]
"""


def statuses(project: Project, queue: str) -> list[str]:
    return [letter["status"] for letter in project.letters() if letter["org"] == queue]


def replay(project: Project, queue: str, after: str | None = None) -> Any:
    return project.python(REPLAY.format(queue=queue, after=after))


def test_a_guarded_replay_waits_for_real_workers(stack: Stack, project: Project) -> None:
    # Given jobs that fail once (the receiver is mended by then), and jobs that always fail
    for number in range(6):
        stack.enqueue("fail", f"mended-{number}", 1, queue="bulk", org="bulk", attempts=1)
    for number in range(5):
        stack.enqueue("fail", f"broken-{number}", queue="critical", org="critical", attempts=1)
    project.worker(queues=("bulk", "critical"))
    eventually(lambda: len(project.letters()) == 11, within=60, what="11 dead letters")

    verdict, count, succeeded, failed, after, _ = replay(project, "bulk")

    assert (verdict, count, succeeded, failed, after) == ("finished", 6, 2, 0, None)
    assert statuses(project, "bulk") == ["replayed"] * 6
    jobs = [f"mended-{number}" for number in range(6)]
    eventually(lambda: all(stack.ledger.starts(job) == 2 for job in jobs), within=30, what="their second run")

    verdict, count, succeeded, failed, after, stopped = replay(project, "critical")

    assert (verdict, count, succeeded, failed) == ("canary_failed", 2, 0, 2)
    assert stopped == "2 of 2 canaries did not succeed." and after
    # The canaries have died again and are letters once more; nothing else was touched
    eventually(lambda: len(statuses(project, "critical")) == 7, within=30, what="the canaries' letters")
    assert sorted(statuses(project, "critical")) == ["parked"] * 5 + ["replayed"] * 2
    assert sum(stack.ledger.starts(f"broken-{number}") for number in range(5)) == 7
