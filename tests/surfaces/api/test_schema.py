"""Schemathesis asks every route for what its schema allows, and for what it does not."""

from __future__ import annotations

import pytest
import schemathesis
from celery import Celery
from hypothesis import settings

from .conftest import Caller
from .schema import COMMON, ask, loaded

short, long = loaded(coverage=False), loaded(coverage=True)


@pytest.fixture
def caller(app: Celery, api: Caller) -> Caller:
    return api


@short.parametrize()
@settings(COMMON, max_examples=2)
def test_every_route_keeps_to_its_schema(case: schemathesis.Case, caller: Caller) -> None:
    ask(case, caller)


@pytest.mark.slow
@long.parametrize()
@settings(COMMON, max_examples=20)
def test_every_route_keeps_to_its_schema_for_long(case: schemathesis.Case, caller: Caller) -> None:
    ask(case, caller)
