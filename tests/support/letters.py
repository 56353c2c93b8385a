"""Brings jobs to death without a worker: published by Celery, claimed and settled by the engine."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import Celery

from queueops.engine.store import Store
from queueops.engine.types import Leased, Settlement
from queueops.middleware import dead_letter
from queueops.models import DeadLetter

TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/tasks/webhooks.py", line 88, in deliver
    response = client.post(endpoint.url, content=body)
  File "/srv/shop/tasks/http.py", line 41, in post
    raise EndpointRefused(f"{url} answered {status}")
tasks.http.EndpointRefused: https://hooks.example.com/in answered 503
"""


def publish(
    app: Celery, *args: Any, task: str = "shop.deliver", queue: str = "standard", **options: Any
) -> str:
    """Publish one job as a project does and return its task id."""
    return str(app.send_task(task, args=args, kwargs=options.pop("kwargs", {}), queue=queue, **options).id)


def claim(store: Store, queue: str = "standard", number: int = 1) -> Leased:
    """Lease the next job of the queue."""
    [job] = store.claim([queue], 1, 0, f"holder-{uuid.uuid4().hex[:6]}", number).jobs
    return job


def die(
    store: Store,
    queue: str = "standard",
    *,
    reason: str = "failed",
    error: str = "EndpointRefused",
    message: str = "answered 503",
    traceback: str = TRACEBACK,
    attempt: int = 3,
) -> Leased:
    """Claim the next job of the queue and settle it as dead, with what a worker would tell about it."""
    job = claim(store, queue)
    detail = dead_letter.detail(
        reason,
        error=type(error, (Exception,), {})(message),
        traceback=traceback,
        worker="bulk@host-1",
        run_ms=120,
        attempts=[
            {"n": n, "at": job.claimed_ms - 1000 * (attempt - n), "error": error, "message": message}
            for n in range(1, attempt)
        ],
        attempt=attempt,
    )
    assert store.settle([Settlement(job.token, "dead", 120, detail)]) == ["settled"]
    return job


def dead(job: Leased, detail: dict[str, Any] | None = None) -> Settlement:
    """The settlement of a job that gave up."""
    return Settlement(job.token, "dead", 1.0, {"reason": "failed", **(detail or {})})


def row(**given: Any) -> DeadLetter:
    """An unsaved letter with what a test says and defaults for the rest; its message cannot be replayed."""
    now = datetime.now(UTC)
    defaults: Mapping[str, Any] = {
        "queue": "standard",
        "org": "acme",
        "task": "shop.deliver",
        "task_id": uuid.uuid4().hex,
        "message": "{}",
        "reason": "failed",
        "error_class": "EndpointRefused",
        "error_message": "https://hooks.example.com/in answered 503",
        "fingerprint": "0123456789abcdef",
        "first_enqueued_at": now - timedelta(hours=1),
        "died_at": now,
        "lease_token": uuid.uuid4().hex,
    }
    return DeadLetter(**{**defaults, **given})
