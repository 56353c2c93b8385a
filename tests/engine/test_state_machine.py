"""Hypothesis drives the store with whatever can happen to jobs, against a small model (``model.py`` for jobs,
``model_gates.py`` and ``model_breaker.py`` for what holds them).

After each step: no job is lost and none is there that should not be, each is where the model has it, none is
leased twice, no cap or rate is exceeded, no breaker lets through more than it may, no job is kept from a free
slot whose gates are open, the queue's time never falls, and all keys agree. At the end everything is opened,
by hand or by waiting: each org is served within a bounded number of claims, and nothing is left behind.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.engine.machine.base import Base
from tests.engine.machine.borrowing import Borrowing
from tests.engine.machine.ending import Ending
from tests.engine.machine.handling import Handling
from tests.engine.machine.publishing import Publishing
from tests.engine.machine.working import Working
from tests.support.valkey import Valkey


class Jobs(Publishing, Handling, Working, Borrowing, Ending):
    """Everything that can happen."""


class Calls(Working, Borrowing, Ending):
    """Plain jobs that call a resource, so that limits, its breaker and the clock meet more often."""


def drive(machine: type[Base], port: int, examples: int, steps: int, **more: Any) -> None:
    run_state_machine_as_test(
        type(machine.__name__, (machine,), {"port": port}),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            **more,
        ),
    )


@pytest.mark.parametrize("machine", [Jobs, Calls])
def test_whatever_happens_the_engine_does_what_the_model_says(
    shared_valkey: Valkey, machine: type[Base]
) -> None:
    drive(machine, shared_valkey.port, 25, 50, derandomize=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("machine", [Jobs, Calls])
def test_whatever_happens_for_long_the_engine_does_what_the_model_says(
    shared_valkey: Valkey, machine: type[Base]
) -> None:
    drive(machine, shared_valkey.port, 400, 60, phases=(Phase.generate, Phase.shrink))
