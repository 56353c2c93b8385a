"""What the tests with schemathesis have in common: the schema, how much is tried, and how it is asked."""

from __future__ import annotations

from typing import Any

import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from hypothesis import HealthCheck, Phase, settings

from queueops.api.app import api as application
from tests.support import site

from .conftest import BASE, Caller

site.configure()

#: Database and broker are emptied before each route, not before each request.
COMMON = settings(
    deadline=None,
    database=None,
    derandomize=True,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


def loaded(*, coverage: bool) -> Any:
    """The schema as its own OpenAPI page tells it; `coverage`: with each boundary of each parameter too."""
    config = schemathesis.Config.from_dict({"phases": {"coverage": {"enabled": coverage}}})
    openapi = application.get_openapi_schema(path_prefix=BASE)
    found = schemathesis.openapi.from_dict(openapi, config=config)
    found.app = WSGIHandler()
    # A stream has no end, and a wait takes the time that it is asked for.
    return found.exclude(path_regex="/(events|wait)$")


def ask(case: schemathesis.Case, caller: Caller) -> None:
    """Send the request and hold the answer against the schema."""
    case.call_and_validate(headers={"Authorization": f"Bearer {caller.secret}"})
