"""What a message's header says of other jobs, and what is refused as no such thing."""

from __future__ import annotations

from typing import Any

import pytest

from queueops.engine.rules.envelope import NewJob
from queueops.errors import InvalidMessage
from queueops.transport.messages import links, to_job


def job_of(header: dict[str, Any], retries: int = 0, **properties: Any) -> NewJob:
    headers = {"id": "a", "task": "t", "retries": retries, "queueops": {"org": "o", **header}}
    return to_job({"headers": headers, "properties": {"delivery_tag": "tag", **properties}}, limit=10_000)


def test_a_plain_header_has_none() -> None:
    assert links({"org": "acme", "priority": 5}) == {}


def test_a_first_publish_has_them_and_another_attempt_does_not() -> None:
    header = {"after": ["x", "y"], "cancel_with_parent": True, "unique": "d", "unique_for": 5, "keep": 7}
    first = job_of(header)
    assert (first.after, first.cancel_with_parent) == (("x", "y"), True)
    assert (first.unique, first.unique_ms, first.keep_ms) == ("d", 5, 7)
    retry = job_of(header, 1, queueops_supersedes="token")
    assert (retry.after, retry.unique, retry.keep_ms, retry.supersedes) == ((), "", 0, "token")
    assert "queueops_supersedes" not in retry.message


def test_a_publish_that_is_tried_again_still_ends_the_old_lease() -> None:
    headers = {"id": "a", "task": "t", "retries": 1, "queueops": {"org": "o"}}
    properties = {"delivery_tag": "tag", "queueops_supersedes": "token", "queueops_failed": True}
    for _ in range(2):
        job = to_job({"headers": headers, "properties": properties}, limit=10_000)
        assert (job.supersedes, job.counts_as_failure) == ("token", True)


@pytest.mark.parametrize(
    "header",
    [
        {"after": "x"},
        {"after": [1]},
        {"after": [""]},
        {"unique": 7},
        {"keep": "long"},
        {"unique": "d", "unique_for": [5]},
    ],
)
def test_a_header_of_somebody_else_is_refused(header: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessage, match="queueops header"):
        job_of(header)
