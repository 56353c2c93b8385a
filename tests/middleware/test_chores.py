"""What workers do beside jobs, and how it is told when it fails."""

from __future__ import annotations

import logging

import pytest
import redis

from queueops.engine.store import Store
from queueops.middleware.worker import Chores
from tests.support.polling import eventually
from tests.support.valkey import Valkey


def test_a_chore_that_fails_again_and_again_is_told_once(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    store, chores = Store(redis.Redis(port=valkey.port)), Chores()
    turns: list[int] = []

    def work(_: Store) -> None:
        turns.append(1)
        if len(turns) < 4:
            raise ConnectionError(f"the database is away, {len(turns)}")

    chores.register("work", 0.01, work)
    now = iter(range(1_000))

    def turned(times: int) -> bool:
        chores.turn(store, "holder", next(now))
        return len(turns) >= times

    with caplog.at_level(logging.INFO, logger="queueops.middleware.worker"):
        eventually(lambda: turned(3), within=10)
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        eventually(lambda: turned(5), within=10)
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert "works again" in caplog.text
