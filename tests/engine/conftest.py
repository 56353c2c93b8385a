"""A world of its own for each test, on the server of the run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.engine.world import World
from tests.support.valkey import Valkey

_numbers = itertools.count(1)


@pytest.fixture
def world(shared_valkey: Valkey) -> Iterator[World]:
    """The engine under a fresh prefix."""
    made = World(shared_valkey.port, f"test{next(_numbers)}:")
    yield made
    made.clear()
    made.client.close()
