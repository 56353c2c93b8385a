"""What a guarded replay tells: how it ended, what it has done, and where to go on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from queueops.ops.guarded_state import State
from queueops.ops.replay import Refusal

__all__ = ["Guarded", "Verdict", "answered"]


class Verdict(StrEnum):
    """How a guarded replay ended."""

    #: It has not (what a progress callback sees).
    RUNNING = "running"
    #: No letter is left.
    FINISHED = "finished"
    #: Too many canaries did not succeed; nothing else was replayed.
    CANARY_FAILED = "canary_failed"
    #: The canaries have not ended in the time given; nothing else was replayed.
    CANARY_WAITS = "canary_waits"
    #: Too many of the replayed jobs died again.
    FAILURES = "failures"
    #: The broker went away.
    BROKER_AWAY = "broker_away"
    #: The time for this call is over.
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Guarded:
    """What a guarded replay has done, with all calls that it went on from.

    Attributes:
        count: letters that were replayed.
        succeeded, failed, cancelled: what became of their jobs; those that run or wait still are in none.
        canary_succeeded, canary_failed: the same of the canaries, which are in the numbers above too.
        refusals: the first letters that were refused in this call, with the reason; `refused` counts all.
        alone: replayed members of chords in this call; the chord has failed, so they run by themselves.
        stopped: why it stopped before the end, as a sentence; empty if it did not.
        after: where to go on; None at the end.
    """

    verdict: Verdict
    count: int
    succeeded: int
    failed: int
    cancelled: int
    canary_succeeded: int
    canary_failed: int
    refused: int
    refusals: tuple[Refusal, ...]
    alone: int
    stopped: str
    after: str | None


def answered(
    state: State, verdict: Verdict, why: str, refused: int, refusals: tuple[Refusal, ...], alone: int
) -> Guarded:
    """The answer of a call; `why` is the sentence for a verdict that has none of its own."""
    judged = verdict in (Verdict.FAILURES, Verdict.CANARY_FAILED)
    return Guarded(
        verdict=verdict,
        count=state.count,
        succeeded=state.succeeded,
        failed=state.failed,
        cancelled=state.cancelled,
        canary_succeeded=state.canary_succeeded,
        canary_failed=state.canary_failed,
        refused=refused,
        refusals=refusals,
        alone=alone,
        stopped=why or _why(state, verdict),
        after=None if verdict is Verdict.FINISHED else state.write(judged=judged),
    )


def _why(state: State, verdict: Verdict) -> str:
    if verdict is Verdict.CANARY_FAILED:
        return f"{state.canaries_lost} of {state.canaries_judged} canaries did not succeed."
    if verdict is Verdict.CANARY_WAITS:
        return f"{state.canaries_out} canaries have not ended in time."
    if verdict is Verdict.FAILURES:
        return f"{state.failed:,} of {state.succeeded + state.failed:,} jobs that ended died again."
    return "The time for this call is over." if verdict is Verdict.TIME else ""
