"""Schemathesis asks every route for what its schema allows, and for what it does not."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from celery import Celery
from django.core.handlers.wsgi import WSGIHandler
from hypothesis import HealthCheck, Phase, settings

from queueops.api.app import api as application
from tests.support import site

from .conftest import BASE, Caller

site.configure()

OPENAPI = application.get_openapi_schema(path_prefix=BASE)


def loaded(*, coverage: bool) -> Any:
    """The schema as its own OpenAPI page tells it; `coverage`: with each boundary of each parameter too."""
    config = schemathesis.Config.from_dict({"phases": {"coverage": {"enabled": coverage}}})
    found = schemathesis.openapi.from_dict(OPENAPI, config=config)
    found.app = WSGIHandler()
    # A stream has no end, and a wait takes the time that it is asked for.
    return found.exclude(path_regex="/(events|wait)$")


short, long = loaded(coverage=False), loaded(coverage=True)

#: Database and broker are emptied before each route, not before each request.
COMMON = settings(
    deadline=None,
    database=None,
    derandomize=True,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


@pytest.fixture
def caller(app: Celery, api: Caller) -> Caller:
    return api


def ask(case: schemathesis.Case, caller: Caller) -> None:
    case.call_and_validate(headers={"Authorization": f"Bearer {caller.secret}"})


@short.parametrize()
@settings(COMMON, max_examples=2)
def test_every_route_keeps_to_its_schema(case: schemathesis.Case, caller: Caller) -> None:
    ask(case, caller)


@pytest.mark.slow
@long.parametrize()
@settings(COMMON, max_examples=40)
def test_every_route_keeps_to_its_schema_for_long(case: schemathesis.Case, caller: Caller) -> None:
    ask(case, caller)
