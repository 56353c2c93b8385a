"""The soak's jobs: they take their time, fail as often as they are told, and record every run."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import Any

from celery import Task, shared_task

from tests.soak.terms import ARM, ATTEMPTS, RETRY_SECONDS, STOCK
from tests.support.ledger import Ledger


class Refused(Exception):
    """A failure that another attempt mends, or none."""


# Stock has no retry policy: its task says itself what ours gets from its queue.
OWN_ATTEMPTS: dict[str, Any] = (
    {
        "autoretry_for": (Refused,),
        "max_retries": ATTEMPTS - 1,
        "retry_backoff": False,
        "default_retry_delay": RETRY_SECONDS,
    }
    if os.environ.get(ARM) == STOCK
    else {}
)


@cache
def ledger() -> Ledger:
    """The ledger that the environment names."""
    return Ledger(os.environ["LEDGER_URL"], os.environ["LEDGER_NAMESPACE"])


def recorded_run(task: Task, job: str, seconds: float, fails: int) -> None:
    """Run one attempt of a job: it takes ``seconds`` and fails in its first ``fails`` attempts."""
    request = task.request
    delivery = request.delivery_info or {}
    facts = {
        "attempt": request.retries or 0,
        "token": delivery.get("token") or "",
        "claimed": (delivery.get("claimed_ms") or 0) / 1000,
        "deliveries": delivery.get("deliveries") or 0,
        "worker": request.hostname or "",
    }
    with ledger().recorded(job, **facts):
        time.sleep(seconds)
        if facts["attempt"] < fails:
            raise Refused(f"{job} refused")


@shared_task(bind=True, name="soak.work", **OWN_ATTEMPTS)
def work(self: Task, job: str, seconds: float, fails: int) -> None:
    """A job that runs at least once."""
    recorded_run(self, job, seconds, fails)


@shared_task(bind=True, name="soak.once", acks_late=False)
def once(self: Task, job: str, seconds: float, fails: int) -> None:
    """A job that must never run twice."""
    recorded_run(self, job, seconds, fails)
