"""Turns among the queues of one worker."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from queueops.transport.turns import Turns

WEIGHTS = {"critical": 10.0, "high": 5.0, "normal": 2.0, "low": 1.0, "bulk": 0.5}


def claim(turns: Turns, waiting: Counter[str], wanted: int) -> list[str]:
    """Serve the queues in their order, as the broker does; returns the queue of each job."""
    given: list[str] = []
    for queue in turns.order(list(WEIGHTS)):
        number = min(waiting[queue], wanted - len(given))
        waiting[queue] -= number
        given += [queue] * number
    turns.gave(given, full=len(given) == wanted)
    return given


@pytest.mark.parametrize("most", [1, 4, 25])
def test_busy_queues_share_jobs_by_weight_however_many_a_claim_brings(most: int) -> None:
    random, turns, given = Random(most), Turns(WEIGHTS), Counter[str]()
    waiting = Counter(dict.fromkeys(WEIGHTS, 100_000))
    while given.total() < 3700:
        given.update(claim(turns, waiting, random.randint(1, most)))
    for queue, weight in WEIGHTS.items():
        assert abs(given[queue] - given.total() * weight / 18.5) <= 2 * most, queue


def test_an_idle_queue_saves_nothing_and_takes_nothing_from_the_others() -> None:
    turns, waiting = Turns(WEIGHTS), Counter(critical=100_000, normal=100_000)
    given = Counter(queue for _ in range(300) for queue in claim(turns, waiting, 4))
    assert given["critical"] == pytest.approx(1000, abs=8)

    waiting["bulk"] = 1000  # it waited for nothing all the time: now its share, and no more
    given = Counter(queue for _ in range(250) for queue in claim(turns, waiting, 4))
    assert given["bulk"] == pytest.approx(1000 * 0.5 / 12.5, abs=8)


def test_a_queue_that_runs_dry_at_each_claim_is_served_whole() -> None:
    turns, waiting, given = Turns(WEIGHTS), Counter(critical=100_000), Counter[str]()
    for _ in range(400):
        waiting["high"] += 1
        given.update(claim(turns, waiting, 4))
    assert given["high"] >= 396


def test_one_queue_needs_no_turns() -> None:
    turns = Turns(WEIGHTS)
    turns.gave(["critical"], full=True)
    assert turns.order(list(WEIGHTS))[0] == "critical"
