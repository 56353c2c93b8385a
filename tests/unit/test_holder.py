"""What a process knows of its leases, without a broker: ages, ends, what goes back."""

from __future__ import annotations

import itertools

import pytest

from queueops.engine.types import Leased, Settlement
from queueops.transport import holder as module
from queueops.transport.holder import Holder

LEASE = 30.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "monotonic", made)
    return made


@pytest.fixture
def holder(clock: Clock) -> Holder:
    made = Holder()
    made.slots = 2
    made.lease_seconds = LEASE
    return made


numbers = itertools.count(1)


def claimed(holder: Holder, count: int = 1) -> list[str]:
    """Claim jobs into the buffer; their tokens."""
    jobs = [_leased(next(numbers)) for _ in range(count)]
    holder.close_claim(holder.open_claim(), jobs)
    holder.buffer.extend(jobs)
    return [job.token for job in jobs]


def _leased(number: int) -> Leased:
    token = f"w/{number}/1"
    return Leased(
        token, "bulk", str(number), "acme", "", "t", str(number), 1, 0, 0, False, False, 0, 0, 0, "{}"
    )


def returned(holder: Holder) -> list[str]:
    return [token for token, *_ in holder.outbox.take_given_back()]


def test_a_lease_is_trusted_as_long_after_a_renewal_as_after_its_claim(holder: Holder, clock: Clock) -> None:
    first, second, third = claimed(holder, 3)
    clock.now += LEASE - 1
    assert holder.hand(first)
    holder.trust(clock.now, holder.running())
    clock.now += LEASE - 1
    assert holder.hand(second)
    clock.now += 1
    assert not holder.hand(third)
    assert returned(holder) == [third], "whoever may have it, this process says that it has not"
    assert set(holder.running()) == {first, second}


def test_a_claim_whose_answer_is_read_late_is_as_old_as_its_question(holder: Holder, clock: Clock) -> None:
    number, job = holder.open_claim(), _leased(next(numbers))
    clock.now += LEASE - 1
    holder.trust(clock.now, holder.running())  # the renewal knew nothing of the job
    clock.now += 1
    holder.close_claim(number, [job])
    assert not holder.hand(job.token), "the broker has given it to another by now"
    assert returned(holder) == [job.token]


def test_what_waits_in_the_pool_starts_only_while_its_lease_is_sure(holder: Holder, clock: Clock) -> None:
    first, second, third = claimed(holder, 3)
    for token in (first, second):
        assert holder.hand(token)
    assert holder.may_start(first)
    holder.lost([first])
    assert not holder.may_start(first)
    holder.in_doubt = True
    assert not holder.may_start(second), "the broker may be another one"
    holder.trust(clock.now, [second])
    assert holder.may_start(second)
    clock.now += LEASE
    assert not holder.may_start(second)
    assert not holder.may_start("unknown")
    assert not holder.hand(third)


def test_a_refused_renewal_gives_back_what_has_not_started(holder: Holder) -> None:
    running, parked, *waiting = claimed(holder, 4)
    for token in (running, parked):
        holder.buffer.popleft()
        assert holder.hand(token)
    assert holder.park(parked)
    holder.in_doubt = True
    holder.return_unstarted()
    assert sorted(returned(holder)) == sorted([parked, *waiting])
    assert (holder.in_doubt, holder.parked, holder.busy, set(holder.running())) == (False, 0, 1, {running})


def test_a_batch_starts_without_the_jobs_whose_leases_are_old(holder: Holder, clock: Clock) -> None:
    old = claimed(holder, 2)
    for token in old:
        assert holder.hand(token) and holder.park(token)
    clock.now += LEASE
    [new] = claimed(holder)
    assert holder.hand(new) and holder.park(new)
    assert holder.unpark([*old, new]) == {new}
    assert (holder.parked, holder.busy, returned(holder)) == (0, 1, old)
    holder.settle(new, "succeeded")
    assert holder.busy == 0


def test_an_end_that_the_broker_knew_first_is_no_lost_lease(holder: Holder) -> None:
    ended, gone = claimed(holder, 2)
    told: list[str] = []
    for token in (ended, gone):
        holder.hand(token)
        holder.then(token, told.append)
    holder.settle(ended, "succeeded", 1.0)
    [settle] = holder.outbox.take_settles(10)
    # The settle was applied, its answer is not read yet, and a renewal that named the lease is answered.
    holder.lost([ended, gone])
    assert holder.lost_total == 1
    holder.confirm([settle], ["settled"])
    assert (told, holder.lost_total) == (["settled"], 1)
    holder.confirm([Settlement(gone, "succeeded", 1.0)], ["stale"])
    assert holder.lost_total == 1, "counted when the renewal said so"


def test_what_was_claimed_ahead_goes_back_behind_long_runs(holder: Holder, clock: Clock) -> None:
    tokens = claimed(holder, 5)
    holder.returns_ahead, holder.mean_ms = True, 2_000.0
    assert holder.hand(holder.buffer.popleft().token)
    taken = holder.buffer.popleft()
    assert not holder.return_ahead(), "a slot is free, and gets the next of them"
    assert holder.hand(taken.token)
    assert holder.return_ahead()
    assert sorted(returned(holder)) == sorted(tokens[2:])
    assert not holder.buffer
    assert not holder.return_ahead()
    assert returned(holder) == []


def test_the_pace_knows_of_runs_that_have_not_ended(holder: Holder, clock: Clock) -> None:
    for token in claimed(holder, 2):
        holder.hand(token)
        holder.settle(token, "succeeded", 10.0)
    assert holder.pace_ms == pytest.approx(10)
    first, second = claimed(holder, 2)
    holder.hand(first)
    clock.now += LEASE / 2
    assert holder.pace_ms == pytest.approx(10), "a slot is free"
    holder.hand(second)
    clock.now += 5
    assert holder.pace_ms == pytest.approx(5_000)
    holder.settle(first, "succeeded", 10.0)
    assert holder.pace_ms == pytest.approx(10)
