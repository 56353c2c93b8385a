"""Every consumer of these tests lives in pytest's own process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from queueops.transport.holders import holders
from queueops.transport.transport import end_leases


@pytest.fixture(autouse=True)
def no_lease_thread_outlives_its_test() -> Iterator[None]:
    """A thread that stays would beat, with leases of its own length, on the server of all later tests."""
    yield
    for holder in holders():
        end_leases(holder)
