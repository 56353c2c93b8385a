"""The whole comparison as one test of ``make test-all``: twenty minutes a side, so never in a default run."""

from __future__ import annotations

import pytest

from tests.conformance.__main__ import main

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(3 * 3600)]


@pytest.mark.parametrize("suites", ["--kombu", "--celery"])
def test_every_difference_from_stock_is_explained(suites: str) -> None:
    assert main([suites]) == 0
