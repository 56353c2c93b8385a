"""Who says that a late job expires: the call, then the task, then its queue."""

from __future__ import annotations

from typing import Any

import pytest

from queueops import Item, enqueue_many
from queueops.errors import ConfigurationError
from tests.middleware.conftest import Bench, Configure


def policies(bench: Bench) -> list[tuple[Any, bool]]:
    """What the header and the head line of each waiting job say."""
    rows = []
    for task_id in bench.client.hkeys(bench.store.key("ids")):
        job = bench.store.job(task_id.decode())
        assert job is not None
        late = next(iter(sent.header.get("late") for sent in bench.claim()), None)
        rows.append((late, job.head.expires_late))
    return rows


@pytest.mark.parametrize(
    ("queue", "task", "call", "expires"),
    [
        (None, None, None, False),
        ("expire", None, None, True),
        ("expire", "run", None, False),
        (None, "expire", None, True),
        (None, "expire", "run", False),
        ("run", "run", "expire", True),
    ],
)
def test_the_call_over_the_task_over_the_queue(
    bench: Bench, configure: Configure, queue: Any, task: Any, call: Any, expires: bool
) -> None:
    if queue:
        configure(QUEUES={"standard": {"deadline_policy": queue}})
    given = {"deadline_policy": task} if task else {}

    @bench.task(**given)
    def late() -> None: ...

    late.apply_async(deadline=60, **({"deadline_policy": call} if call else {}))
    assert policies(bench) == [("expire" if expires else None, expires)]


def test_without_a_deadline_it_says_nothing(bench: Bench) -> None:
    @bench.task(deadline_policy="expire")
    def plain() -> None: ...

    plain.delay()
    assert policies(bench) == [(None, False)]


def test_many_at_once_expire_too(bench: Bench) -> None:
    @bench.task(deadline=60, deadline_policy="expire")
    def late(n: int) -> None: ...

    ids = enqueue_many(late, [Item((n,)) for n in range(5)])
    assert len(ids) == 5
    heads = [bench.store.job(task_id).head for task_id in ids]  # type: ignore[union-attr]
    assert all(head.expires_late and head.deadline_ms for head in heads)


def test_another_word_is_refused(bench: Bench, configure: Configure) -> None:
    @bench.task
    def plain() -> None: ...

    with pytest.raises(ConfigurationError, match='deadline_policy is "run" or "expire", not'):
        plain.apply_async(deadline=60, deadline_policy="drop")
    with pytest.raises(ConfigurationError, match="deadline_policy"):
        configure(QUEUES={"standard": {"deadline_policy": "drop"}})
