"""Stock Celery on its own Redis transport, with acknowledgement after the run as queueops has it."""

from __future__ import annotations

import base64
import json
import os
import uuid
from collections.abc import Sequence

import redis
from celery import Celery

from bench.apps.jobs import QUEUE, event, register

app = Celery("bench", broker=f"redis://{os.environ['BENCH_BROKER']}")
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_default_queue=QUEUE,
    broker_connection_retry_on_startup=True,
)
noop, nap = register(app)


def enqueue(count: int) -> None:
    """Enqueue no-op jobs one at a time."""
    for number in range(count):
        noop.delay(number)


def enqueue_events(count: int) -> None:
    """Enqueue jobs of a realistic size one at a time."""
    deliver = app.tasks["bench.deliver"]
    for number in range(count):
        deliver.apply_async((number % 200, event(number)))


def send(org: str, sent: float, seconds: float) -> None:
    """Enqueue one sleeping job."""
    nap.delay(org, sent, seconds)


def preload(jobs: Sequence[tuple[str, float]]) -> None:
    """Enqueue many sleeping jobs (org, seconds) as copies of one message: Celery has no call for many."""
    broker = redis.Redis.from_url(f"redis://{os.environ['BENCH_BROKER']}")
    send("", 0.0, 0.0)
    message = json.loads(broker.lpop(QUEUE))
    _, *rest = json.loads(base64.b64decode(message["body"]))
    copies = []
    for org, seconds in jobs:
        task_id = str(uuid.uuid4())
        body = json.dumps([[org, 0.0, seconds], *rest])
        message["body"] = base64.b64encode(body.encode()).decode()
        message["headers"] |= {"id": task_id, "root_id": task_id}
        message["properties"] |= {"correlation_id": task_id, "delivery_tag": str(uuid.uuid4())}
        copies.append(json.dumps(message))
    for start in range(0, len(copies), 1000):
        broker.lpush(QUEUE, *copies[start : start + 1000])
