"""A log line as JSON, whatever it is about."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from queueops import conf
from queueops.middleware import json_log
from queueops.middleware.json_log import JsonFormatter


def line(message: str = "hello %s", *args: Any, **extra: Any) -> dict[str, Any]:
    record = logging.LogRecord("shop", logging.INFO, __file__, 1, message, args, extra.pop("exc_info", None))
    record.__dict__.update(extra)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_line_says_when_who_and_what() -> None:
    found = line("hello %s", "wörld\nagain")
    assert (found["level"], found["logger"], found["message"]) == ("info", "shop", "hello wörld\nagain")
    assert found["at"].endswith("+00:00")
    assert "job" not in found


def test_an_error_comes_with_its_traceback() -> None:
    try:
        raise ValueError("no")
    except ValueError:
        found = line("failed", exc_info=sys.exc_info())
    assert found["error"] == "ValueError"
    assert found["traceback"].endswith("ValueError: no")


def test_a_line_about_a_job_names_it_and_not_its_arguments() -> None:
    found = line("dead", job="j1", org="acme", queue="bulk", task="shop.pay", attempt=3, card="4111")
    assert (found["job"], found["org"], found["queue"], found["attempt"]) == ("j1", "acme", "bulk", 3)
    received = line("received", data={"id": "j2", "name": "shop.pay", "args": "('4111',)"})
    assert (received["job"], received["task"]) == ("j2", "shop.pay")
    assert "4111" not in json.dumps([found, received])


@pytest.mark.parametrize("wanted", ["json", "text", ""])
def test_handlers_are_changed_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    monkeypatch.setenv("QUEUEOPS_LOG", wanted)
    conf.reset()
    handler = logging.StreamHandler()
    logger = logging.getLogger("django.server")
    logger.addHandler(handler)
    try:
        json_log.apply()
        assert isinstance(handler.formatter, JsonFormatter) is (wanted == "json")
    finally:
        logger.removeHandler(handler)
        monkeypatch.undo()
        conf.reset()
        # What the run itself logs by stays text.
        for other in logging.getLogger().handlers:
            if isinstance(other.formatter, JsonFormatter):
                other.setFormatter(None)
