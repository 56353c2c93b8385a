"""Tags of jobs: UUIDs of version 7 that sort as they were made, also within a millisecond."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from queueops.transport.messages import new_tag, new_tags


def test_a_tag_is_a_uuid_of_version_7_with_the_time_in_front() -> None:
    before = time.time_ns() // 1_000_000
    for tag in (new_tag(), *new_tags(3)):
        made = uuid.UUID(tag)
        assert str(made) == tag
        assert (made.version, made.variant) == (7, uuid.RFC_4122)
        # A busy process may be ahead of the clock by the tags it has made, 4,096 a millisecond.
        assert -1 <= (made.int >> 80) - before < 1_000


def test_tags_sort_as_they_were_made_however_they_were_asked_for() -> None:
    tags = [new_tag() for _ in range(5_000)]
    tags += new_tags(10_000)
    tags.append(new_tag())
    tags += new_tags(1)
    assert all(first < second for first, second in pairwise(tags))


@pytest.mark.parametrize("count", [0, 1, 4_096, 9_000])
def test_as_many_tags_as_were_asked_for_and_none_twice(count: int) -> None:
    assert len(set(new_tags(count))) == count


def test_threads_get_different_tags() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = [tag for tags in pool.map(lambda _: [new_tag(), *new_tags(50)], range(200)) for tag in tags]
    assert len(set(found)) == len(found)
