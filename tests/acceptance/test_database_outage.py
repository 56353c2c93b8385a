"""The database is away while jobs die: the broker keeps them, and rows appear when it is back."""

from __future__ import annotations

from tests.support.polling import eventually, stays
from tests.support.postgres import Postgres
from tests.support.project import Project
from tests.support.stack import Stack


def rows(project: Project) -> list[str]:
    """The task ids of the dead letters in the database."""
    return sorted(letter["task_id"] for letter in project.letters())


def test_letters_of_an_outage_appear_when_the_database_is_back(
    stack: Stack, postgres: Postgres, postgres_project: Project
) -> None:
    project = postgres_project
    worker = project.worker(pool="prefork", concurrency=2)
    # Given a database that takes letters, and then is away
    before = stack.enqueue("fail_for_good", "before")
    eventually(lambda: rows(project) == [before.id], within=20, what="the row of the first letter")
    postgres.stop()
    # When jobs die meanwhile, and others end well
    died = [stack.enqueue("fail_for_good", f"died-{n}", org=f"org-{n}").id for n in range(6)]
    worked = [f"worked-{n}" for n in range(6)]
    for job in worked:
        stack.enqueue("run", job)
    eventually(lambda: len(stack.dead()) == 6, within=15, what="six letters wait in the broker")
    stack.wait_ended(*worked)
    stack.wait_empty()
    stays(lambda: len(stack.dead()) == 6, during=2, what="none is dropped")
    assert worker.alive()
    # Then each is one row once the database is back, and the broker has let go of them
    postgres.start()
    eventually(lambda: len(rows(project)) == 7, within=30, what="the rows of the outage")
    eventually(lambda: not stack.dead(), within=10, what="the stream is empty")
    assert rows(project) == sorted([before.id, *died])


def test_a_letter_of_the_outage_is_replayed_and_succeeds(
    stack: Stack, postgres: Postgres, postgres_project: Project
) -> None:
    project = postgres_project
    settings = {"RETRY_POLICIES": {"standard": {"base_seconds": 0.3, "cap_seconds": 5}}}
    project.worker(pool="threads", concurrency=2, settings=settings)
    postgres.stop()
    # Three attempts fail; a fourth would succeed, and the queue's policy does not grant it.
    result = stack.enqueue("fail", "job", 3, org="acme")
    eventually(lambda: len(stack.dead()) == 1, within=15, what="the letter waits in the broker")
    postgres.start()
    eventually(lambda: rows(project) == [result.id], within=30, what="its row")
    replayed = project.python(
        """
        from queueops.models import DeadLetter
        from queueops.ops import dead_letters
        from queueops.ops.permissions import Actor
        ids = list(DeadLetter.objects.values_list("pk", flat=True))
        first = dead_letters.replay(Actor.system(), ids)
        second = dead_letters.replay(Actor.system(), ids)
        answer = [first.count, second.count]
        """
    )
    assert replayed == [1, 0], "the second click finds nothing to replay"
    stack.wait_ended("job")
    stack.wait_empty()
    starts = stack.ledger.of("job")
    assert [entry.retries for entry in starts] == [0, 1, 2, 0], "a fresh count of attempts"
    assert {entry.org for entry in starts} == {"acme"}
    assert [letter["status"] for letter in project.letters()] == ["replayed"]
    assert not stack.dead()
