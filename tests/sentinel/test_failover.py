"""Behind Sentinel: a promotion ends no worker, and what was confirmed is run."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apps.ledger import make_app
from tests.support.ledger import Ledger
from tests.support.polling import eventually
from tests.support.sentinel import MASTER, Sentinel
from tests.support.stack import QUICK
from tests.support.valkey import Valkey
from tests.support.worker import Worker

pytestmark = pytest.mark.sentinel
CONF = {"broker_transport_options": {"master_name": MASTER}}


@pytest.fixture
def sentinel() -> Iterator[Sentinel]:
    made = Sentinel()
    yield made
    made.close()


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_jobs_run_before_and_after_a_promotion(
    sentinel: Sentinel, ledger_valkey: Valkey, tmp_path: Path, pool: str
) -> None:
    ledger = Ledger(ledger_valkey.url, namespace=uuid.uuid4().hex)
    app = make_app(sentinel.broker_url, **CONF)
    worker = Worker(
        app="tests.apps.ledger",
        broker_url=sentinel.broker_url,
        ledger=ledger,
        folder=tmp_path,
        pool=pool,
        env={**QUICK, "LEDGER_CONF": json.dumps(CONF)},
    )
    try:
        worker.wait_ready()
        run = app.tasks["ledger.run"]
        run.apply_async(("before",), queue="standard")
        eventually(lambda: "before" in ledger.ended(), within=20, what="the first job")

        sentinel.fail_over()

        names = {f"after-{number}" for number in range(20)}
        for name in names:
            eventually(lambda name=name: publishes(run, name), within=20, what="a publish to the new primary")
        eventually(lambda: names <= ledger.ended(), within=30, what="the jobs after the promotion")
        assert worker.alive()
    finally:
        print(worker.log())
        worker.kill()
        app.close()


def publishes(run: object, name: str) -> bool:
    """Publish one job; False while no primary takes it."""
    from queueops.errors import BrokerUnavailable

    try:
        run.apply_async((name,), queue="standard")  # type: ignore[attr-defined]
    except BrokerUnavailable:
        return False
    return True
