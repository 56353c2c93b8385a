"""Did everything hold? Each check looks at what happened and at nothing else."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from queueops.engine.rules.states import Reason
from tasks.demo.breaker import FLAKY
from tasks.demo.receiver import BROKEN, TAKEN, UNSIGNED, Arrival
from tasks.demo.story import Story
from tasks.models import Delivery

#: Seconds by which an attempt may come sooner than its wait says: clocks count in milliseconds.
_ROUNDING = 0.01


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that had to hold; *shown* says what was counted."""

    name: str
    holds: bool
    shown: str


def checks(story: Story) -> list[Check]:
    """Return all checks of the story in the order in which a reader wants them."""
    in_time = Check("everything happened in its time", not story.late, story.late or "nothing was late")
    return [in_time, *_arrival(story), *_holding(story), *_death(story), *_replay(story)]


def _arrival(story: Story) -> Iterator[Check]:
    sent = {event.id: event for event in story.events}
    taken = [arrival for arrival in story.arrivals if arrival.status == TAKEN]
    times = Counter(arrival.event_id for arrival in taken)
    yield Check(
        "every event arrived, exactly once",
        times == Counter(dict.fromkeys(sent, 1)),
        f"{len(sent)} sent, {len(times)} arrived, {times.total() - len(times)} repeated",
    )
    whole = [arrival for arrival in taken if arrival.event_id in sent and _matches(arrival, story)]
    yield Check(
        "none is corrupted or in wrong hands", len(whole) == len(sent), f"{len(whole)} bodies are equal"
    )
    unsigned = sum(arrival.status == UNSIGNED for arrival in story.arrivals)
    yield Check(
        "every signature was right", unsigned == 0, f"{len(story.arrivals)} requests, {unsigned} refused"
    )


def _matches(arrival: Arrival, story: Story) -> bool:
    event = next(event for event in story.events if event.id == arrival.event_id)
    return (arrival.org, arrival.digest) == (event.org, event.digest)


def _holding(story: Story) -> Iterator[Check]:
    states = [change.state for change in story.breaker]
    first_two = ["open", "half_open", "open", "half_open"]
    yield Check(
        "a breaker opened by itself, tried, opened again, and closed",
        states[:4] == first_two and states[-1:] == ["closed"],
        ", ".join(state.replace("_", " ") for state in states),
    )
    failed = sum(arrival.org == story.flaky and arrival.status == BROKEN for arrival in story.arrivals)
    held = sum(event.org == story.flaky for event in story.events)
    # What it takes to open, what ran at that moment, and the probes.
    most = FLAKY["min_calls"] + FLAKY["max_in_flight"] - 1 + states.count("half_open") * FLAKY["probes"]
    yield Check(
        "the jobs that it held burnt no attempts",
        FLAKY["min_calls"] <= failed <= most and all(letter.org != story.flaky for letter in story.letters),
        f"{held} jobs, {failed} failed attempts, at most {most} expected, none died",
    )
    ill = (story.broken, story.flaky)
    healthy = [arrival.at for arrival in story.arrivals if arrival.org not in ill]
    yield Check(
        "no other endpoint waited for it",
        bool(healthy) and max(healthy) < story.flaky_mended_at,
        f"{len(healthy)} arrived before it was mended",
    )


def _death(story: Story) -> Iterator[Check]:
    ill = {event.id for event in story.events if event.org == story.broken}
    refused: dict[str, list[Arrival]] = defaultdict(list)
    for arrival in story.arrivals:
        if arrival.status == BROKEN and arrival.org != story.flaky:
            refused[arrival.event_id].append(arrival)
    attempts = {len(arrivals) for arrivals in refused.values()}
    yield Check(
        "the broken endpoint was tried as often as the policy says, no other was",
        set(refused) == ill and attempts == {story.policy.attempts},
        f"{len(refused)} events, {', '.join(map(str, sorted(attempts)))} attempts each",
    )
    early, asked = 0, 0
    for arrivals in refused.values():
        for number, (before, after) in enumerate(pairwise(arrivals), 1):
            asked += before.retry_after is not None
            wait = max(story.policy.delay(number), before.retry_after or 0)
            early += after.at - before.at < wait - _ROUNDING
    yield Check(
        "no retry came before its back-off or its Retry-After",
        early == 0 and asked > 0,
        f"{sum(map(len, refused.values())) - len(refused)} retries, {asked} after a Retry-After",
    )
    whole = [
        letter
        for letter in story.letters
        if (letter.org, letter.reason, letter.attempt_count)
        == (story.broken, Reason.FAILED, story.policy.attempts)
    ]
    yield Check(
        "each of its events is one dead letter, nobody else's is",
        len(story.letters) == len(whole) == len({letter.task_id for letter in whole}) == len(ill),
        f"{len(story.letters)} letters",
    )


def _replay(story: Story) -> Iterator[Check]:
    ids = {letter.pk for letter in story.letters}
    yield Check(
        "every letter was replayed, once",
        story.replayed == len(ids) and story.replayed_ids == ids,
        f"{story.replayed} replayed",
    )
    late = [arrival for arrival in story.arrivals if arrival.org == story.broken and arrival.status == TAKEN]
    yield Check(
        "the mended endpoint took them",
        len(late) == len(ids) and all(arrival.at > story.mended_at for arrival in late),
        f"{len(late)} arrived after the repair",
    )
    delivered = [row for row in story.deliveries if row.outcome == Delivery.Outcome.DELIVERED]
    tried = sum(row.attempts for row in story.deliveries)
    yield Check(
        "the deliveries in the database agree",
        len(delivered) == len(story.deliveries) == len(story.events) and tried == len(story.arrivals),
        f"{len(delivered)} delivered in {tried} attempts",
    )
    left = ", ".join(f"{count} {state}" for state, count in story.left.items())
    yield Check("the broker holds nothing any more", not any(story.left.values()), left)
