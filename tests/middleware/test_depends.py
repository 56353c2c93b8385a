"""What a call may wait for, and in which order many are enqueued."""

from __future__ import annotations

from typing import Any

import pytest

from queueops import Item, enqueue_many
from queueops.engine.types import Settlement
from queueops.errors import ConfigurationError, DependencyCycle, UnknownParent, UnknownQueue
from tests.middleware.conftest import Bench, Configure, Sent


@pytest.fixture
def task(bench: Bench) -> Any:
    @bench.task(name="step")
    def step(x: Any = None) -> None: ...

    return step


def settle(bench: Bench, sent: Sent, outcome: Any = "succeeded") -> None:
    assert bench.store.settle([Settlement(sent.job.token, outcome, 0, {"reason": "failed"})]) == ["settled"]


def blocked(bench: Bench, queue: str = "standard") -> int:
    return bench.store.queue_snapshot(queue).blocked


def test_a_child_waits_for_its_parents_given_as_ids_or_results(bench: Bench, task: Any) -> None:
    first, second = task.apply_async((1,)), task.apply_async((2,), queue="bulk")
    task.apply_async((3,), after=[first, second.id])
    task.apply_async((4,), after=first, queue="critical")
    task.apply_async((5,), after=second.id, countdown=3600)
    assert blocked(bench) == 2
    by_argument = {sent.body[0][0]: sent for sent in bench.claim()}
    assert by_argument.keys() == {1, 2}
    settle(bench, by_argument[1])
    assert [sent.body[0][0] for sent in bench.claim()] == [4]
    settle(bench, by_argument[2])
    assert [sent.body[0][0] for sent in bench.claim()] == [3]
    assert bench.store.queue_snapshot("standard").scheduled == 1, "with an ETA it waits for both"


def test_a_parent_that_has_just_succeeded_is_known_and_another_is_not(bench: Bench, task: Any) -> None:
    first = task.delay(1)
    settle(bench, bench.one())
    task.apply_async((2,), after=first)
    assert bench.one().body[0] == [2]
    with pytest.raises(UnknownParent, match="nobody"):
        task.apply_async(after=["nobody"])
    with pytest.raises(UnknownParent):
        enqueue_many(task, [Item((1,)), Item((2,), after="nobody")])
    assert not bench.claim()


def test_keep_for_travels_with_the_job_and_its_retries(bench: Bench) -> None:
    @bench.task(keep_for=600)
    def kept() -> None: ...

    kept.delay()
    sent = bench.one()
    assert sent.header["keep"] == 600_000
    settle(bench, sent)
    assert bench.client.pttl(bench.store.key("kept", task_id=sent.job.task_id)) > 600_000
    kept.apply_async(keep_for=0)
    assert "keep" not in bench.one().header


def test_a_dead_parent_keeps_its_child_waiting_or_takes_it_along(bench: Bench, task: Any) -> None:
    parent = task.delay()
    task.apply_async(("stays",), after=parent)
    goes = task.apply_async(("goes",), after=parent, on_parent_death="cancel")
    settle(bench, bench.one(), "dead")
    bench.claim()
    assert blocked(bench) == 1
    assert bench.store.queue_snapshot("standard").totals["cancelled"] == 1
    # The same for one that comes later: the caller need not know when the parent died.
    late = task.apply_async(("late",), after=parent, on_parent_death="cancel", task_id="late")
    assert late.id == "late"
    assert bench.store.job("late") is None
    assert bench.store.job(goes.id) is None
    sent = enqueue_many(task, [Item((1,)), Item((2,), after=parent)], on_parent_death="cancel")
    assert sent.cancelled == {1}
    assert sent.new == [sent[0]]


def test_a_retry_does_not_wait_again(bench: Bench, configure: Configure) -> None:
    configure(RETRY_POLICIES={"standard": {"base_seconds": 3600}})

    @bench.task(name="failing")
    def failing() -> None:
        raise RuntimeError("no")

    parent = failing.delay()
    settle(bench, bench.one())
    failing.apply_async(after=parent)
    child = bench.one()
    assert child.header["after"] == [parent.id]
    bench.run(child)
    assert bench.store.queue_snapshot("standard").scheduled == 1
    assert blocked(bench) == 0


def test_many_at_once_go_parents_first_whatever_their_order(bench: Bench, task: Any) -> None:
    items = [
        Item(("d",), task_id="d", after=["b", "c"]),
        Item(("b",), task_id="b", after="a"),
        Item(("c",), task_id="c", after=["a"]),
        Item(("e",)),
        Item(("a",), task_id="a"),
    ]
    ids = enqueue_many(task, iter(items))
    assert ids == ["d", "b", "c", ids[3], "a"]
    order = []
    while sent := bench.claim():
        order.append({one.body[0][0] for one in sent})
        for one in sent:
            settle(bench, one)
    assert order == [{"a", "e"}, {"b", "c"}, {"d"}]


def test_a_long_line_and_a_wide_fan_arrive_whole(bench: Bench, task: Any) -> None:
    line = [Item((n,), task_id=f"line-{n}", after=f"line-{n - 1}" if n else None) for n in range(50)]
    fan = [Item((n,), after="line-0") for n in range(1_200)]
    ids = enqueue_many(task, [*fan, *reversed(line)])
    assert len(set(ids)) == 1_250
    assert blocked(bench) == 1_249
    assert bench.one().job.task_id == "line-0"


def test_a_child_of_an_item_that_was_there_already_waits_for_that_job(bench: Bench, task: Any) -> None:
    there = task.apply_async(unique_key="k")
    sent = enqueue_many(task, [Item(("child",), after="p"), Item(("parent",), task_id="p", unique_key="k")])
    assert sent.existing == {1: there.id}
    settle(bench, bench.one())
    assert bench.one().body[0] == ["child"]


@pytest.mark.parametrize(
    ("links", "circle"),
    [
        ({"a": ["a"]}, {"a"}),
        ({"a": ["b"], "b": ["a"]}, {"a", "b"}),
        ({"a": ["b"], "b": ["c"], "c": ["d", "a"], "d": [], "below": ["a"]}, {"a", "b", "c"}),
    ],
)
def test_a_circle_is_refused_before_any_of_it_is_enqueued(
    bench: Bench, task: Any, links: dict[str, list[str]], circle: set[str]
) -> None:
    items = [Item((name,), task_id=name, after=after or None) for name, after in links.items()]
    with pytest.raises(DependencyCycle, match="circle") as refused:
        enqueue_many(task, items)
    assert set(refused.value.task_ids) == circle
    assert refused.value.enqueued == ()
    assert not bench.claim()


def test_what_makes_no_sense_is_said(bench: Bench, task: Any) -> None:
    for after in (7, [7], "", [""], b"x", {"a": 1}):
        with pytest.raises(ConfigurationError, match="after"):
            task.apply_async(after=after)
    with pytest.raises(ConfigurationError, match="chord"):
        task.apply_async(after=[str(n) for n in range(1_001)])
    with pytest.raises(ConfigurationError, match="on_parent_death"):
        task.apply_async(after=task.delay(), on_parent_death="explode")
    with pytest.raises(ConfigurationError, match="keep_for"):
        task.apply_async(keep_for="long")
    with pytest.raises(DependencyCycle):
        task.apply_async(after="me", task_id="me")
    task.apply_async(after=[])
    assert blocked(bench) == 0


def test_an_option_that_no_member_handles_is_refused(bench: Bench, task: Any, configure: Configure) -> None:
    configure(MIDDLEWARE=["queueops.middleware.org.Org", "queueops.middleware.unique.Unique"])
    task.apply_async(unique_key="a")
    for options in ({"after": "any"}, {"keep_for": 5}, {"offload": True}):
        with pytest.raises(ConfigurationError, match=f"handles {next(iter(options))}:"):
            task.apply_async(**options)
    with pytest.raises(ConfigurationError, match="MIDDLEWARE"):
        enqueue_many(task, [Item((1,), after="any")])


def test_an_error_tells_what_of_the_call_is_in_the_broker(bench: Bench, task: Any) -> None:
    with pytest.raises(UnknownParent) as refused:
        enqueue_many(task, [Item((1,), task_id="one"), Item((2,), after=["one", "nobody"])])
    assert refused.value.enqueued == ("one",)
    with pytest.raises(UnknownQueue):
        enqueue_many(task, [Item((1,), after="one")], queue="nowhere")
