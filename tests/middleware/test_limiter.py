"""Limits for any code: waits as long as it may, says how long it would take, gives back what it took."""

from __future__ import annotations

import threading
import time

import pytest

import queueops
from queueops.engine.rules.gates import ResourceLimits
from queueops.errors import BrokerUnavailable, ConfigurationError, InvalidResource, LimitInvalid, LimitReached
from tests.middleware.conftest import Bench


def test_a_block_waits_for_its_turn_and_no_longer(bench: Bench) -> None:
    bench.store.set_resources({"stripe": ResourceLimits(per_minute=120)})
    started = time.monotonic()
    with queueops.limit("stripe", app=bench.app):
        pass
    with queueops.limit("stripe", wait=2.0, app=bench.app):
        assert time.monotonic() - started >= 0.45
    with pytest.raises(LimitReached) as refused, queueops.limit("stripe", wait=0.1, app=bench.app):
        raise AssertionError
    assert refused.value.gate == "resource_rate" and 0 < refused.value.retry_after <= 0.5
    assert "may open in 0." in str(refused.value)


def test_a_slot_is_given_back_whatever_happens_in_the_block(bench: Bench) -> None:
    bench.store.set_resources({"stripe": ResourceLimits(max_in_flight=1)})

    @queueops.limit("stripe", app=bench.app)
    def call(fails: bool) -> None:
        assert bench.store.resource_snapshot("stripe").in_flight == 1
        with pytest.raises(LimitReached), queueops.limit("stripe", app=bench.app):
            raise AssertionError
        if fails:
            raise ValueError

    call(False)
    with pytest.raises(ValueError):
        call(True)
    call(False)
    assert bench.store.resource_snapshot("stripe").in_flight == 0


def test_a_cap_holds_among_threads_that_wait_for_it(bench: Bench) -> None:
    bench.store.set_resources({"stripe": ResourceLimits(max_in_flight=2)})
    guard, inside, most, done = threading.Lock(), [0], [0], []

    def work() -> None:
        with queueops.limit("stripe", wait=20, app=bench.app):
            with guard:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            time.sleep(0.02)
            with guard:
                inside[0] -= 1
        done.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 8 and most[0] == 2


def test_a_key_with_a_rate_needs_no_resource(bench: Bench) -> None:
    answers = [queueops.try_acquire("sms:+49 170", 3, 60, app=bench.app) for _ in range(5)]
    assert answers == [True, True, True, False, False]
    assert queueops.try_acquire("sms:+49 171", 3, 60, app=bench.app)
    assert [queueops.try_acquire("even", 60, 6, burst=1, app=bench.app) for _ in range(2)] == [True, False]
    with queueops.limit("sms:+49 172", rate="5/h", app=bench.app):
        pass
    with (
        pytest.raises(LimitReached) as refused,
        queueops.limit("sms:+49 172", rate="5/h", wait=1, app=bench.app),
    ):
        raise AssertionError
    assert refused.value.retry_after > 700


def test_what_cannot_be_is_refused_at_once(bench: Bench) -> None:
    for wrong in ({"limit": 0}, {"limit": -1}, {"window": 0.0}, {"burst": 0}):
        with pytest.raises((LimitInvalid, ConfigurationError)):
            queueops.try_acquire("key", app=bench.app, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidResource):
        queueops.limit("no resource")
    with pytest.raises(ConfigurationError):
        queueops.try_acquire("", app=bench.app)


def test_a_broker_that_is_away_is_an_error_and_no_permission(bench: Bench) -> None:
    away = bench.make_app()
    away.conf.broker_url = "queueops://127.0.0.1:1/0"
    with pytest.raises(BrokerUnavailable):
        queueops.try_acquire("key", app=away)
    away.close()
