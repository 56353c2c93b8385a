"""Logs as JSON, one object a line, each with the job that runs: QUEUEOPS["LOG"] or QUEUEOPS_LOG=json."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from celery._state import get_current_worker_task
from celery.signals import after_setup_logger, after_setup_task_logger

from queueops.conf import config
from queueops.errors import ConfigurationError

__all__ = ["JsonFormatter", "apply", "connect"]

_JOB_FIELDS = ("job", "task", "org", "queue", "attempt")
#: Loggers that bring handlers of their own, beside the root's.
_OTHERS = ("django", "django.server", "uvicorn", "uvicorn.access", "uvicorn.error")


class JsonFormatter(logging.Formatter):
    """A line of JSON: at, level, logger, message, process; of a job its id, task, org, queue and attempt; of
    an error its class and traceback; of a trace its ids.

    Other `extra` of a record is left out: Celery puts the arguments of tasks there.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            **_job_of(record),
            **_trace(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["traceback"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, default=str, ensure_ascii=False)


def _job_of(record: logging.LogRecord) -> dict[str, Any]:
    said = {name: getattr(record, name) for name in _JOB_FIELDS if hasattr(record, name)}
    if "job" in said:
        return said
    running = get_current_worker_task()
    if running is not None and running.request.id:
        return _of_request(running.name, running.request)
    # What a worker's main process says of a job stands in Celery's own extra.
    data = getattr(record, "data", None)
    if isinstance(data, dict) and "id" in data:
        return {"job": data["id"], "task": data.get("name"), **_received(data["id"])}
    return {}


def _of_request(task: str, request: Any) -> dict[str, Any]:
    header = (request.headers or {}).get("queueops") or {}
    info = request.delivery_info or {}
    return {
        "job": request.id,
        "task": task,
        "org": header.get("org"),
        "queue": info.get("queue") or info.get("routing_key"),
        "attempt": int(request.retries or 0) + 1,
    }


def _received(task_id: str) -> dict[str, Any]:
    state = sys.modules.get("celery.worker.state")
    found = state.requests.get(task_id) if state is not None else None
    return {} if found is None else _of_request(found.name, found._context)


def _trace() -> dict[str, str]:
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return {}
    known = api.get_current_span().get_span_context()
    if not known.is_valid:
        return {}
    return {"trace_id": f"{known.trace_id:032x}", "span_id": f"{known.span_id:016x}"}


def connect() -> None:
    """Have Celery's own loggers write JSON, where that is asked for."""
    after_setup_logger.connect(_set_up, weak=False, dispatch_uid="queueops.json_log")
    after_setup_task_logger.connect(_set_up, weak=False, dispatch_uid="queueops.json_log.task")


def _set_up(logger: logging.Logger, **_: Any) -> None:
    if is_wanted():
        _change(logger.handlers)


def apply() -> None:
    """Have this process's loggers write JSON, where that is asked for: a web process, or a command."""
    if not is_wanted():
        return
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.StreamHandler())
        root.setLevel(logging.INFO)
    for logger in (root, *map(logging.getLogger, _OTHERS)):
        _change(logger.handlers)


def _change(handlers: Iterable[logging.Handler]) -> None:
    for handler in handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler.formatter, JsonFormatter):
            handler.setFormatter(JsonFormatter())


def is_wanted() -> bool:
    """Whether the settings ask for JSON."""
    with suppress(ConfigurationError):  # a system check says what is wrong
        return config().log == "json"
    return False
