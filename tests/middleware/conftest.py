"""An app on a real broker, what it has published, and a run of it as a worker's pool makes it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from celery import Celery
from celery.app.trace import trace_task

import queueops
from queueops import conf
from queueops.engine.store import Store
from queueops.engine.types import Leased
from queueops.transport.messages import to_message
from tests.support.valkey import Valkey

Configure = Callable[..., conf.Config]


@pytest.fixture(autouse=True)
def configure() -> Iterator[Configure]:
    """Set QUEUEOPS for this test; without a call it has the defaults, whatever others have configured."""

    def put(policies: dict[str, Any] | None = None, **settings: Any) -> conf.Config:
        found = conf.load(settings, policies, {})
        lazy = conf._django_settings()
        wrapped = lazy.get("_wrapped")
        own = getattr(wrapped, "QUEUEOPS", None)
        conf._read = conf._Read(lazy, wrapped, own, getattr(wrapped, "JOB_RETRY_POLICIES", None), found)
        return found

    put()
    yield put
    conf.reset()


@dataclass
class Sent:
    """A message as it lies in the broker."""

    queue: str
    job: Leased

    @property
    def message(self) -> dict[str, Any]:
        return json.loads(self.job.message)

    @property
    def headers(self) -> dict[str, Any]:
        return self.message["headers"]

    @property
    def header(self) -> dict[str, Any]:
        return self.headers["queueops"]

    @property
    def properties(self) -> dict[str, Any]:
        return self.message["properties"]

    @property
    def body(self) -> list[Any]:
        return json.loads(base64.b64decode(self.message["body"]))


class Bench:
    """An app, and the broker behind it."""

    def __init__(self, valkey: Valkey) -> None:
        self.valkey = valkey
        self.client = valkey.client(decode_responses=False)
        self.store = Store(self.client)
        self.app = self.make_app()
        self._claims = 0

    def make_app(self, **settings: Any) -> Celery:
        app = Celery("bench", broker=self.valkey.broker_url, set_as_current=False)
        app.conf.update({"task_ignore_result": True, **settings})
        return queueops.install(app)

    def task(self, function: Any = None, **options: Any) -> Any:
        """Make a task of this app alone; Celery's decorator would give it to the apps of all later tests."""
        options.setdefault("shared", False)
        return self.app.task(function, **options) if function else self.app.task(**options)

    def claim(self, *queues: str) -> list[Sent]:
        """Lease everything that is ready."""
        self._claims += 1
        names = queues or ("critical", "standard", "bulk")
        jobs = self.store.claim(names, 100, 0, "bench", self._claims).jobs
        return [Sent(job.queue, job) for job in jobs]

    def one(self, *queues: str) -> Sent:
        """Lease the one job that is ready."""
        [sent] = self.claim(*queues)
        return sent

    def run(self, sent: Sent, app: Celery | None = None) -> tuple[Any, Any]:
        """Run the body as a worker's pool does; returns the result or the error, and the state or None."""
        app = app or self.app
        message = to_message(sent.job)
        headers, args, kwargs = message["headers"], *sent.body[:2]
        request = {**headers, "hostname": "w1@tests", "is_eager": False, **sent.body[2]}
        request["delivery_info"] = message["properties"]["delivery_info"]
        task = app.tasks[headers["task"]]
        value, info, _, _ = trace_task(
            task, headers["id"], args, kwargs, request, app=app, hostname="w1@tests"
        )
        return (info.retval, info.state) if info else (value, None)

    def close(self) -> None:
        self.app.close()
        self.client.close()


@pytest.fixture
def bench(valkey: Valkey) -> Iterator[Bench]:
    made = Bench(valkey)
    yield made
    made.close()
