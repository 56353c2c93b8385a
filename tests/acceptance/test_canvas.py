"""Chains, groups and chords, with their results in Django's database."""

from __future__ import annotations

import pytest

from tests.support.polling import eventually, stays
from tests.support.project import Project
from tests.support.stack import Stack


@pytest.mark.parametrize("database", ["project", pytest.param("postgres_project", marks=pytest.mark.slow)])
def test_chains_groups_and_a_chord_of_fifty_give_their_results(
    stack: Stack, database: str, request: pytest.FixtureRequest
) -> None:
    project: Project = request.getfixturevalue(database)
    project.worker(pool="prefork", concurrency=2)
    answer = project.python(
        """
        from celery import chain, chord, group
        chained = chain(tasks.add.s(1, 1), tasks.add.s(2), tasks.add.s(3)).delay()
        grouped = group(tasks.add.s(n, n) for n in range(10)).delay()
        counted = chord((tasks.add.s(n, 1) for n in range(50)), tasks.total.s(job="chord")).delay()
        answer = [chained.get(timeout=40), sorted(grouped.get(timeout=40)), counted.get(timeout=40)]
        """
    )
    assert answer == [7, [2 * n for n in range(10)], sum(range(1, 51))]
    stack.wait_empty()
    assert (stack.ledger.starts("chord"), stack.ledger.ends("chord")) == (1, 1)
    assert not stack.dead()


def test_members_of_a_canvas_belong_to_the_org_that_sent_it(stack: Stack, project: Project) -> None:
    project.worker(pool="threads", concurrency=4)
    project.python(
        """
        from celery import chain, chord
        from queueops import org_context
        with org_context("acme"):
            chord([tasks.run.s("a"), tasks.run.s("b")], tasks.run.si("body")).delay()
            chain(tasks.run.si("first"), tasks.run.si("second")).delay()
        chain(tasks.run.si("third"), tasks.run.si("fourth")).apply_async(org="globex")
        """
    )
    stack.wait_ended("a", "b", "body", "first", "second", "third", "fourth")
    stack.wait_empty()
    orgs = {entry.job: entry.org for entry in stack.ledger.entries()}
    assert {job: orgs[job] for job in ("a", "b", "body", "first", "second")} == dict.fromkeys(
        ("a", "b", "body", "first", "second"), "acme"
    )
    assert (orgs["third"], orgs["fourth"]) == ("globex", "globex")


def test_a_dead_member_of_a_chain_is_replayed_and_the_chain_goes_on(stack: Stack, project: Project) -> None:
    project.worker(pool="threads", concurrency=2)
    project.python(
        """
        from celery import chain
        chain(tasks.fail.si("member", 1).set(attempts=1), tasks.run.si("after")).delay()
        """
    )
    eventually(lambda: stack.ledger.starts("member") == 1, within=20)
    stack.wait_empty()
    letter = eventually(project.letters, within=20, what="the row of the dead member")[0]
    stays(lambda: stack.ledger.starts("after") == 0, during=0.5)
    project.python(
        f"""
        from queueops.ops import dead_letters
        from queueops.ops.permissions import Actor
        answer = dead_letters.replay(Actor.system(), [{letter["id"]}]).count
        """
    )
    stack.wait_ended("member", "after")
    stack.wait_empty()
    assert stack.ledger.starts("after") == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_chords_body_runs_once_while_workers_are_killed(stack: Stack, postgres_project: Project) -> None:
    project = postgres_project
    workers = [project.worker(pool="prefork", concurrency=2) for _ in range(3)]
    project.python(
        """
        from celery import chord
        members = [tasks.run.s(f"member-{n}", 0.2).set(ignore_result=False) for n in range(200)]
        chord(members, tasks.run.si("body")).delay()
        """
    )
    for number in range(3):
        eventually(
            lambda done=(number + 1) * 25: len(stack.ledger.ended()) >= done, within=60, what="some members"
        )
        workers[number].kill()
        workers.append(project.worker(pool="prefork", concurrency=2))
    stack.wait_ended("body", within=90)
    stack.wait_empty(within=30)
    assert stack.ledger.starts("body") == 1
    assert len(stack.ledger.ended()) == 201
