"""The demonstration's own judgement: it must be able to fail."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from queueops.engine.rules.backoff import RetryPolicy
from tasks.demo.breaker import Change
from tasks.demo.events import Event, largest_small_org, load_events, second_largest_org
from tasks.demo.receiver import BROKEN, TAKEN, UNSIGNED, Arrival, Receiver
from tasks.demo.report import median, p95, rows
from tasks.demo.story import Story
from tasks.signing import new_secret, sign

if TYPE_CHECKING:
    from tasks.demo.checks import Check

ILL, WELL, FLAKY = "acme", "globex", "initech"


def held(story: Story) -> list[Check]:
    """All checks, with those that hold taken out."""
    from tasks.demo.checks import checks

    return [check for check in checks(story) if not check.holds]


@pytest.fixture
def story() -> Story:
    """Two events of an org whose endpoint broke, one of an org whose breaker opened, one of another; all went
    well.
    """
    from queueops.models import DeadLetter
    from tasks.models import Delivery

    events = [Event(f"e{n}", org, "ping", {}, f"digest {n}") for n, org in enumerate((ILL, ILL, WELL, FLAKY))]
    told = Story(events, ILL, FLAKY, RetryPolicy(1, 10, attempts=3))
    for n, event in enumerate(events):
        told.sent_at[event.id] = float(n)
        told.task_ids[event.id] = f"job {n}"
        attempts = {WELL: 1, ILL: 4, FLAKY: 7}[event.org]
        told.deliveries.append(Delivery(outcome="delivered", attempts=attempts))
    told.arrivals.append(Arrival(WELL, "e2", 2.5, TAKEN, "digest 2"))
    # Six failures open the breaker, a probe fails once, then it closes.
    for at in (3.0, 3.1, 3.2, 3.3, 3.4, 3.5):
        told.arrivals.append(Arrival(FLAKY, "e3", at, BROKEN, "digest 3"))
    told.arrivals.append(Arrival(FLAKY, "e3", 9.0, TAKEN, "digest 3"))
    told.flaky_mended_at = 8.0
    for at, state in ((3.5, "open"), (4.5, "half_open"), (4.6, "open"), (6.6, "half_open"), (9.0, "closed")):
        told.breaker.append(Change(at, state, "6 of 6 calls failed", 1))
    for n in (0, 1):
        # Back-off of 1 s and 2 s; the second event was asked to stay away for 4 s.
        asked = 4 if n else None
        for at, wait in ((10.0, asked), (10.0 + (asked or 1), None), (12.0 + (asked or 1), None)):
            told.arrivals.append(Arrival(ILL, f"e{n}", at, BROKEN, f"digest {n}", wait))
        told.arrivals.append(Arrival(ILL, f"e{n}", 30.0, TAKEN, f"digest {n}"))
        told.letters.append(DeadLetter(pk=n, org=ILL, task_id=f"job {n}", reason="failed", attempt_count=3))
    told.replayed, told.replayed_ids, told.mended_at = 2, {0, 1}, 20.0
    told.left = {"ready": 0, "leased": 0}
    return told


def test_a_story_in_which_all_went_well_holds(story: Story) -> None:
    assert held(story) == []


def lose(story: Story) -> None:
    story.arrivals = [arrival for arrival in story.arrivals if arrival.event_id != "e2"]


def repeat(story: Story) -> None:
    story.arrivals.append(story.arrivals[0])


def corrupt(story: Story) -> None:
    story.arrivals[0] = replace(story.arrivals[0], digest="another")


def misdeliver(story: Story) -> None:
    story.arrivals[0] = replace(story.arrivals[0], org=ILL)


def forge(story: Story) -> None:
    story.arrivals.append(Arrival(WELL, "", 3.0, UNSIGNED, "digest 2"))


def hurry(story: Story) -> None:
    second = next(n for n, arrival in enumerate(story.arrivals) if arrival.at == 11.0)
    story.arrivals[second] = replace(story.arrivals[second], at=10.9)


def ignore_retry_after(story: Story) -> None:
    second = next(n for n, arrival in enumerate(story.arrivals) if arrival.at == 14.0)
    story.arrivals[second] = replace(story.arrivals[second], at=11.0)


def give_up_early(story: Story) -> None:
    last = next(n for n, arrival in enumerate(story.arrivals) if arrival.at == 13.0)
    del story.arrivals[last]


def lose_a_letter(story: Story) -> None:
    story.letters.pop()


def double_a_letter(story: Story) -> None:
    story.letters.append(story.letters[0])


def kill_a_stranger(story: Story) -> None:
    story.letters[0].org = WELL


def forget_a_replay(story: Story) -> None:
    story.replayed_ids = {0}


def deliver_before_the_repair(story: Story) -> None:
    story.mended_at = 40.0


def disagree(story: Story) -> None:
    story.deliveries[0].attempts = 3


def leave_something(story: Story) -> None:
    story.left["leased"] = 1


def stay_closed(story: Story) -> None:
    story.breaker.clear()


def stay_open(story: Story) -> None:
    story.breaker.pop()


def burn_attempts(story: Story) -> None:
    more = [replace(arrival, at=arrival.at + 2) for arrival in story.arrivals if arrival.org == FLAKY] * 2
    story.arrivals += [arrival for arrival in more if arrival.status == BROKEN]


def kill_a_held_job(story: Story) -> None:
    story.letters[0].org = FLAKY


def make_others_wait(story: Story) -> None:
    story.flaky_mended_at = 2.0


def be_late(story: Story) -> None:
    story.late = "3 jobs, and no progress for 30 s."


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (lose, "every event arrived"),
        (stay_closed, "a breaker opened by itself"),
        (stay_open, "a breaker opened by itself"),
        (burn_attempts, "burnt no attempts"),
        (kill_a_held_job, "burnt no attempts"),
        (make_others_wait, "no other endpoint waited"),
        (repeat, "exactly once"),
        (corrupt, "none is corrupted"),
        (misdeliver, "wrong hands"),
        (forge, "every signature"),
        (hurry, "no retry came before"),
        (ignore_retry_after, "no retry came before"),
        (give_up_early, "as often as the policy says"),
        (lose_a_letter, "one dead letter"),
        (double_a_letter, "one dead letter"),
        (kill_a_stranger, "one dead letter"),
        (forget_a_replay, "every letter was replayed"),
        (deliver_before_the_repair, "the mended endpoint"),
        (disagree, "in the database"),
        (leave_something, "the broker holds nothing"),
        (be_late, "in its time"),
    ],
)
def test_every_defect_is_seen(story: Story, spoil: Callable[[Story], None], name: str) -> None:
    spoil(story)
    assert any(name in check.name for check in held(story)), held(story)


def test_the_table_counts_what_happened(story: Story) -> None:
    ill, well, flaky = rows(story)
    assert (flaky.org, flaky.sent, flaky.retried, flaky.dead) == (FLAKY, 1, 6, 0)
    assert (ill.org, ill.sent, ill.delivered, ill.retried, ill.dead, ill.replayed) == (ILL, 2, 2, 4, 2, 2)
    assert (well.org, well.sent, well.delivered, well.retried, well.dead, well.replayed) == (
        WELL,
        1,
        1,
        0,
        0,
        0,
    )
    assert (list(ill.waits), list(well.waits)) == ([10.0, 9.0], [0.5])


@pytest.mark.parametrize(
    ("values", "middle", "high"),
    [
        ([], None, None),
        ([3.0], 3.0, 3.0),
        ([1.0, 2.0], 1.5, 2.0),
        ([float(n) for n in range(1, 101)], 50.5, 95.0),
    ],
)
def test_median_and_p95(values: list[float], middle: float | None, high: float | None) -> None:
    assert (median(values), p95(values)) == (middle, high)


def test_the_events_are_the_329_real_ones() -> None:
    events = load_events("run")
    assert len(events) == len({event.id for event in events}) == 329
    by_org = sorted((sum(e.org == org for e in events) for org in {e.org for e in events}), reverse=True)
    assert sum(by_org[:2]) == 280
    for nth, org in ((2, largest_small_org(events)), (1, second_largest_org(events))):
        assert sum(event.org == org for event in events) == by_org[nth]


def test_the_receiver_takes_only_what_is_signed_for_its_org() -> None:
    secret, body = new_secret(), b'{"n":1}'
    with Receiver(retry_after=2) as receiver:
        receiver.serve(ILL, secret)
        receiver.serve(WELL, new_secret())
        headers = sign(secret, "e1", body)
        taken = receiver.take(ILL, headers, body)
        assert (taken.status, taken.event_id, taken.digest) == (TAKEN, "e1", hashlib.sha256(body).hexdigest())
        for org, sent in ((WELL, body), ("nobody", body), (ILL, b"another")):
            assert receiver.take(org, headers, sent).status == UNSIGNED
        receiver.break_down(ILL)
        asked = [receiver.take(ILL, sign(secret, f"e{n}", body), body).retry_after for n in (2, 3, 4, 5, 2)]
        assert receiver.arrivals()[-1].status == BROKEN
        assert asked.count(2) == 1
        receiver.mend(ILL)
        assert receiver.take(ILL, sign(secret, "e2", body), body).status == TAKEN
