"""Replay with a guard: some letters first, the rest at a rate, and an end when too many of them die again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from queueops.engine.store import Store
from queueops.errors import BrokerUnavailable, ReplayRefused
from queueops.models import AuditEntry, DeadLetter
from queueops.models.querysets import DeadLetterQuerySet
from queueops.ops import audit, broker, permissions
from queueops.ops.batches import Cursor, pages
from queueops.ops.guarded_answer import Guarded, Verdict, answered
from queueops.ops.guarded_state import State
from queueops.ops.permissions import Actor
from queueops.ops.replay import Refusal, replay_batch

__all__ = ["Guarded", "Progress", "Verdict", "replay_guarded"]

Progress = Callable[[Guarded], None]

#: Seconds between two looks at what became of the jobs.
POLL_SECONDS = 0.5
_BATCH = 200
#: Jobs that are watched at once. Of more than these, those that were replayed meanwhile count for nothing.
_WATCHED = 5_000
_SHOWN_REFUSALS = 20
_LONGEST_WAIT = 7 * 86_400


def replay_guarded(
    actor: Actor,
    matching: DeadLetterQuerySet,
    described: Mapping[str, Any],
    *,
    canary: int = 0,
    rate: float | None = None,
    stop_share: float = 0.5,
    min_ended: int = 10,
    wait_seconds: float = 600.0,
    seconds: float | None = None,
    after: str | None = None,
    progress: Progress | None = None,
) -> Guarded:
    """Replay parked letters, the oldest first, and stop by itself when too many of their jobs die again.

    The canaries are replayed first; the others only when all canaries have ended and not too many of them
    have failed. Who is interrupted has lost nothing: what is not replayed is parked, and the `after` that
    `progress` has told last goes on from there. A second call at the same time replays no letter twice.

    Args:
        matching, described: as `letter_list.matching` answers them.
        canary: letters that are replayed first; 0 is none.
        rate: letters a second; None is as fast as it goes.
        stop_share: it stops when more than this part of the jobs that have ended are dead; 0 to 1.
        min_ended: with fewer jobs ended it does not stop; the canaries are judged in any case.
        wait_seconds: how long the canaries may take to end.
        seconds: stop after this time; the answer's `after` says where to go on.
        after: the `after` of an earlier call.
        progress: called after each step and each look, a few times a second.

    Raises:
        PermissionDenied: the actor may not replay.
        ReplayRefused: a number is out of its range.
        InvalidCursor: `after` is not from an earlier call.
        BrokerUnavailable: nothing was replayed. If the broker goes away later, the verdict says so.
    """
    actor.require(permissions.REPLAY)
    _check(canary, rate, stop_share, min_ended, wait_seconds)
    state = State.read(after) if after else None
    told = {"filter": dict(described), "canary": canary, "rate": rate, "stop_share": stop_share}
    run: _Run | None = None
    try:
        with broker.store() as store:
            state = state or State(store.now_ms(), canary)
            if not state.count:
                state.canaries = canary  # it begins, or begins anew after a verdict
            until = datetime.fromtimestamp((state.until_ms + 1) / 1000, UTC)
            entry = audit.record(actor, "replay", "letters that match", told)
            letters = matching.parked().died_before(until)
            run = _Run(store, entry, actor.name, letters, state, progress)
            ends = math.inf if seconds is None else time.monotonic() + seconds
            verdict = run.guard(rate or math.inf, stop_share, min_ended, wait_seconds, ends)
    except BrokerUnavailable as error:
        if run is None or not run.state.count:
            raise
        return run.answer(Verdict.BROKER_AWAY, str(error))
    return run.answer(verdict)


def _check(canary: int, rate: float | None, stop_share: float, min_ended: int, wait_seconds: float) -> None:
    if canary < 0 or min_ended < 1:
        raise ReplayRefused("The canaries are a number of letters, and at least one job must have ended.")
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise ReplayRefused(f"The rate is letters a second, above 0, not {rate}.")
    if not 0 <= stop_share <= 1:
        raise ReplayRefused(f"The part of the jobs that may fail is 0 to 1, not {stop_share}.")
    if not 0 <= wait_seconds <= _LONGEST_WAIT:
        raise ReplayRefused(f"The canaries wait 0 to {_LONGEST_WAIT:,} seconds, not {wait_seconds}.")


class _Run:
    """One call: publishes, looks, judges."""

    def __init__(
        self,
        store: Store,
        entry: AuditEntry,
        by: str,
        letters: DeadLetterQuerySet,
        state: State,
        progress: Progress | None,
    ) -> None:
        self.store, self.entry, self.by, self.letters, self.state = store, entry, by, letters, state
        self.progress = progress
        self.refused, self.alone = 0, 0
        self.refusals: tuple[Refusal, ...] = ()
        self.is_over = False
        #: Task ids of the letters that are watched.
        rows = DeadLetter.objects.filter(pk__in=state.watched).values_list("pk", "task_id")
        self.task_ids: dict[int, str] = dict(rows)

    def guard(
        self, rate: float, stop_share: float, min_ended: int, wait_seconds: float, ends: float
    ) -> Verdict:
        """Replay until there is a verdict; args as for `replay_guarded`, `ends` by the monotonic clock."""
        verdict = self._canaries(stop_share, wait_seconds, ends)
        if verdict is not None:
            return verdict
        state, looked = self.state, -math.inf
        size = max(1, min(_BATCH, round(min(rate, _BATCH))))
        while not self.is_over:
            if time.monotonic() - looked >= POLL_SECONDS:
                self._look()
                looked = time.monotonic()
                ended = state.succeeded + state.failed
                if ended >= min_ended and state.failed / ended > stop_share:
                    return Verdict.FAILURES
            wait = (state.next_ms - self.store.now_ms()) / 1000
            if wait <= 0:
                count = self._publish(size)
                state.next_ms = self.store.now_ms() + round(1000 * count / rate)
            if not self.is_over and time.monotonic() > ends:
                return Verdict.TIME
            if wait > 0:
                time.sleep(min(wait, POLL_SECONDS))
        self._look()
        return Verdict.FINISHED

    def _canaries(self, stop_share: float, wait_seconds: float, ends: float) -> Verdict | None:
        """Publish the canaries and wait for their end; None: go on with the rest."""
        state = self.state
        while state.canaries and not self.is_over:
            state.canaries -= self._publish(min(state.canaries, _BATCH), canary=True)
        if not state.wait_until_ms:
            state.wait_until_ms = self.store.now_ms() + round(wait_seconds * 1000)
        while True:
            self._look()
            if state.canaries_lost > stop_share * state.canaries_judged:
                return Verdict.CANARY_FAILED
            if not state.canaries_out:
                return None
            if self.store.now_ms() > state.wait_until_ms:
                return Verdict.CANARY_WAITS
            if time.monotonic() > ends:
                return Verdict.TIME
            time.sleep(POLL_SECONDS)

    def _publish(self, size: int, *, canary: bool = False) -> int:
        state = self.state
        found = next(pages(self.letters, Cursor.parse(state.at), size), None)
        if found is None:
            self.is_over = True
            return 0
        ids, cursor = found
        batch = replay_batch(self.store, self.entry, ids, self.by)
        self.is_over = cursor is None
        state.at = str(cursor) if cursor else state.at
        state.count += batch.count
        for letter, task_id in batch.replayed.items():
            if canary or len(state.watched) < _WATCHED:
                state.watched[letter], self.task_ids[letter] = canary, task_id
        self.alone += batch.alone
        self.refused += len(batch.refused)
        self.refusals = (*self.refusals, *batch.refused)[:_SHOWN_REFUSALS]
        self._tell()
        return batch.count

    def _look(self) -> None:
        """Count the watched jobs that have ended, and watch them no more."""
        state = self.state
        watched = {letter: self.task_ids.get(letter, "") for letter in state.watched}
        outcomes = self.store.outcomes(list(watched.values()))
        # The broker's memory is short: of what ended long ago the letters tell whether it died.
        lost = [task_id for task_id, outcome in outcomes.items() if outcome == "unknown"]
        since = datetime.fromtimestamp(state.until_ms / 1000, UTC)
        died = DeadLetter.objects.filter(task_id__in=lost).died_since(since).values_list("task_id", flat=True)
        dead = set(died) if lost else set()
        for letter, task_id in watched.items():
            outcome = outcomes[task_id]
            if outcome == "living":
                continue
            failed = outcome == "dead" or task_id in dead
            word = "failed" if failed else "cancelled" if outcome == "cancelled" else "succeeded"
            setattr(state, word, getattr(state, word) + 1)
            if state.watched.pop(letter):
                setattr(state, f"canary_{word}", getattr(state, f"canary_{word}") + 1)
        self._tell()

    def _tell(self) -> None:
        if self.progress is not None:
            self.progress(self.answer(Verdict.RUNNING))

    def answer(self, verdict: Verdict, why: str = "") -> Guarded:
        """What was done up to here."""
        return answered(self.state, verdict, why, self.refused, self.refusals, self.alone)
