"""A morning after a bad night: letters of real webhook events that died of different errors."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from celery import Celery
from django.utils import timezone

from queueops.models import DeadLetter
from queueops.ops import broker, collector
from tests.support import letters

EVENTS = Path(__file__).resolve().parents[2] / "tasks" / "data" / "github-webhooks.jsonl.gz"
RESPONSE = """Traceback (most recent call last):
  File "/srv/app/queueops/middleware/run.py", line 96, in run
    return body(*args, **kwargs)
  File "/srv/app/tasks/webhooks.py", line 142, in deliver
    answer = post(endpoint, body, headers)
  File "/srv/app/tasks/delivery.py", line 71, in post
    raise DeliveryFailed(f"{url} answered {answer.status_code}")
tasks.failures.DeliveryFailed: https://hooks.codertocat.dev/in answered 503
"""
TIMEOUT = """Traceback (most recent call last):
  File "/srv/app/tasks/exports.py", line 58, in export
    for page in pages(report):
  File "/srv/app/tasks/exports.py", line 31, in pages
    yield read(cursor, size=500)
billiard.exceptions.SoftTimeLimitExceeded: SoftTimeLimitExceeded(300,)
"""


@dataclass(frozen=True, slots=True)
class Death:
    """One way to die, and how many jobs go it."""

    count: int
    task: str
    queue: str
    error: str
    message: str
    reason: str = "failed"
    traceback: str = ""
    attempts: int = 3


DEATHS = (
    Death(
        26,
        "tasks.webhooks.deliver",
        "webhooks",
        "DeliveryFailed",
        "https://hooks.codertocat.dev/in answered 503",
        traceback=RESPONSE,
        attempts=5,
    ),
    Death(
        11,
        "tasks.webhooks.deliver",
        "webhooks",
        "ConnectTimeout",
        "https://octocoders.example/events did not answer within 10 s",
        traceback=RESPONSE.replace("DeliveryFailed", "ConnectTimeout"),
        attempts=5,
    ),
    Death(
        7,
        "tasks.exports.export",
        "bulk",
        "SoftTimeLimitExceeded",
        "SoftTimeLimitExceeded(300,)",
        "timeout",
        TIMEOUT,
    ),
    Death(
        4,
        "tasks.trust.score",
        "standard",
        "WorkerLostError",
        "Worker exited prematurely: signal 9 (SIGKILL) Job: 118.",
        "worker_lost",
    ),
    Death(
        3,
        "tasks.billing.reconcile",
        "critical",
        "NotRegistered",
        "tasks.billing.reconcile",
        "unknown_task",
        attempts=1,
    ),
)


def build(app: Celery, count: int = 51) -> None:
    """Publish, kill and collect `count` jobs, then spread their times over the last day."""
    chance = random.Random(21)
    with gzip.open(EVENTS, "rt") as lines:
        events = [json.loads(line) for line in lines]
    deaths = [death for death in DEATHS for _ in range(death.count)]
    chance.shuffle(deaths)
    with broker.store() as store:
        for number, death in enumerate(deaths[:count]):
            event = events[chance.randrange(len(events))]
            given = arguments(number, death.task, event)
            letters.publish(app, task=death.task, queue=death.queue, org=event["org"], kwargs=given)
            letters.die(
                store,
                death.queue,
                reason=death.reason,
                error=death.error,
                message=death.message,
                traceback=death.traceback,
                attempt=death.attempts,
            )
        collector.collect_all(store)
    spread(chance)


def spread(chance: random.Random) -> None:
    """Spread the times of all letters over the last day, and give their attempts times and workers."""
    died = timezone.now() - timedelta(seconds=100)
    for place, letter in enumerate(DeadLetter.objects.order_by("-pk")):
        spent = [20 * 2**n for n in range(letter.attempt_count - 1)]
        letter.died_at, letter.first_enqueued_at = died, died - timedelta(seconds=sum(spent) + 3)
        for n, attempt in enumerate(letter.attempts):
            attempt["at"] = round((died.timestamp() - sum(spent[n:])) * 1000)
            attempt["worker"] = f"{letter.queue}-{1 + n % 2}@app-{1 + place % 3}"
        letter.worker = str(letter.attempts[-1]["worker"])
        letter.save()
        died -= timedelta(seconds=chance.uniform(20, 2600))


def arguments(number: int, task: str, event: dict[str, Any]) -> dict[str, Any]:
    """What such a job carries; the signature and the token are there to be masked."""
    if not task.startswith("tasks.webhooks"):
        return {
            "report_id": 9100 + number,
            "org": event["org"],
            "options": {"format": "csv", "api_token": "s3cr3t"},
        }
    payload = event["payload"]
    return {
        "endpoint_id": 41,
        "org": event["org"],
        "event_type": event["event"] + (f".{event['action']}" if event.get("action") else ""),
        "signature_headers": {"webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="},
        "payload": {
            "action": payload.get("action"),
            "repository": (payload.get("repository") or {}).get("full_name"),
            "sender": {"login": (payload.get("sender") or {}).get("login"), "site_admin": False},
            "installation": {"id": 9873216 + number},
        },
    }
