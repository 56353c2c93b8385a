"""States and transitions: one table, and what the documentation says of it."""

from __future__ import annotations

from pathlib import Path

import celery.states
import pytest

from queueops.engine.rules.states import (
    CELERY_STATES,
    ENDED,
    TRANSITIONS,
    JobState,
    LetterStatus,
    OutcomeKind,
    Reason,
    can_move,
)

PAGE = (Path(__file__).parents[2] / "docs" / "states.md").read_text()


def test_nothing_leads_out_of_an_end() -> None:
    for moves in TRANSITIONS.values():
        assert ENDED.isdisjoint(state for state in moves if state is not None)


def test_every_state_can_be_reached_from_an_enqueue_and_leads_to_an_end() -> None:
    edges = {
        (before, after)
        for moves in TRANSITIONS.values()
        for before, afters in moves.items()
        for after in afters
    }
    reached: set[JobState | None] = {None}
    while new := {after for before, after in edges if before in reached} - reached:
        reached |= new
    assert reached == {None, *JobState}
    leads: set[JobState | None] = set(ENDED)
    while more := {before for before, after in edges if after in leads} - leads:
        leads |= more
    assert leads == {None, *JobState}


@pytest.mark.parametrize(
    ("verb", "before", "after", "allowed"),
    [
        ("claim", JobState.READY, JobState.LEASED, True),
        ("claim", JobState.SCHEDULED, JobState.LEASED, False),
        ("settle", JobState.READY, JobState.SUCCEEDED, False),
        ("cancel", JobState.DEAD, JobState.CANCELLED, False),
        ("enqueue", None, JobState.READY, True),
        ("nonsense", JobState.READY, JobState.LEASED, False),
    ],
)
def test_a_verb_moves_only_along_the_table(
    verb: str, before: JobState | None, after: JobState, allowed: bool
) -> None:
    assert can_move(verb, before, after) is allowed


def test_every_state_of_celery_has_a_meaning_in_ours() -> None:
    assert set(CELERY_STATES) >= set(celery.states.ALL_STATES) | {"REJECTED", "IGNORED"}


def test_the_page_names_every_state_reason_status_and_verb() -> None:
    for word in (*JobState, *Reason, *LetterStatus, *OutcomeKind, *TRANSITIONS):
        assert f"`{word}`" in PAGE, word
    for state in CELERY_STATES:
        assert state in PAGE, state
