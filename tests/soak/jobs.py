"""The jobs of a soak and the one who publishes them."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from tests.soak.site import Site
from tests.soak.terms import ATTEMPTS, LEASE_SECONDS, ORGS, OURS, QUEUES

#: Kind of job -> how many of a hundred.
MIX = {"short": 54, "long": 8, "later": 10, "flaky": 10, "failing": 4, "once": 10, "cancelled": 4}
#: Seconds from the publish of a job that is to be cancelled to its cancel; it is due much later.
CANCEL_AFTER, CANCELLED_DUE = 1.0, 15.0
#: How long a WAIT may take until what was published counts as confirmed later, or never.
WAIT_MS = 500


@dataclass
class Planned:
    """One job: what it was to do, and how its publish went. ``refused`` is the error of the publish, which
    the job may have survived; ``confirmed`` means that the replica had it as well, ``cancelled`` is when the
    broker said that it would not run; without that ``may_be_cancelled`` says that it was asked."""

    name: str
    kind: str
    task_id: str
    queue: str
    org: str
    seconds: float
    fails: int = 0
    countdown: float = 0.0
    published: float = 0.0
    epoch: int = 0
    refused: str = ""
    cancelled: float = 0.0
    may_be_cancelled: bool = False
    confirmed: bool = False

    @property
    def once(self) -> bool:
        """Whether it must never run twice."""
        return self.kind == "once"

    @property
    def hopeless(self) -> bool:
        """Whether no attempt of it succeeds."""
        return self.fails >= ATTEMPTS


def plan(number: int, source: random.Random) -> Planned:
    """Draw the next job."""
    kind = source.choices(list(MIX), list(MIX.values()))[0]
    job = Planned(
        f"{kind}-{number}",
        kind,
        str(uuid.uuid4()),
        source.choice(QUEUES),
        source.choice(ORGS),
        source.uniform(0, 0.4),
    )
    if kind == "long":
        job.seconds = source.uniform(2, LEASE_SECONDS * 1.5)
    elif kind == "later":
        job.countdown = source.uniform(1, LEASE_SECONDS * 2)
    elif kind == "cancelled":
        job.countdown = CANCELLED_DUE
    elif kind == "flaky":
        job.fails = source.randint(1, ATTEMPTS - 1)
    elif kind == "failing":
        job.fails = ATTEMPTS
    return job


class Publisher(threading.Thread):
    """Publishes about ``rate`` jobs a second until ``over`` is set.

    A job counts as confirmed when its publish returned, and a write after it was received by the replica
    (``WAIT``), with no promotion in between: then no fault of the storm may lose it.
    """

    def __init__(self, app: Celery, site: Site, *, arm: str, seed: int, rate: float) -> None:
        super().__init__(name="publisher", daemon=True)
        self.app, self.site, self.arm, self.rate = app, site, arm, rate
        self.over = threading.Event()
        self.jobs: list[Planned] = []
        self._source = random.Random(f"{seed}-jobs")
        self._to_cancel: deque[Planned] = deque()
        self._confirmer = threading.Thread(target=self._confirm_all, daemon=True)

    def run(self) -> None:
        """Publish."""
        self._confirmer.start()
        while not self.over.wait(self._source.expovariate(self.rate)):
            job = plan(len(self.jobs), self._source)
            self._publish(job)
            self.jobs.append(job)
            if job.kind == "cancelled" and not job.refused:
                self._to_cancel.append(job)
            while self._to_cancel and time.time() > self._to_cancel[0].published + CANCEL_AFTER:
                self._cancel(self._to_cancel.popleft())

    def end(self) -> None:
        """Stop publishing and wait until what can be confirmed is."""
        self.over.set()
        self.join(timeout=60)
        self._confirmer.join(timeout=10)
        self._confirm()

    def refusals(self) -> Counter[str]:
        """How often which error met a publish."""
        return Counter(job.refused for job in self.jobs if job.refused)

    def _publish(self, job: Planned) -> None:
        task = self.app.tasks["soak.once" if job.once else "soak.work"]
        options: dict[str, Any] = {"queue": job.queue, "task_id": job.task_id}
        if self.arm == OURS:
            options["org"] = job.org
        if job.countdown:
            options["countdown"] = job.countdown
        before = self.site.epoch
        try:
            task.apply_async((job.name, job.seconds, job.fails), **options)
        except (OperationalError, redis.RedisError, OSError) as error:
            job.refused = type(error).__name__
        job.published = time.time()
        # During a promotion, or when one came in between, nobody knows which of the two took it.
        job.epoch = before if before == self.site.epoch and before % 2 == 0 else -1

    def _cancel(self, job: Planned) -> None:
        before, job.may_be_cancelled = self.site.epoch, True
        try:
            self.app.control.revoke(job.task_id)
        except (OperationalError, redis.RedisError, OSError):
            return  # nobody said that it would not run
        if before == self.site.epoch and before % 2 == 0:
            job.cancelled = time.time()

    def _confirm_all(self) -> None:
        while not self.over.wait(0.3):
            self._confirm()

    def _confirm(self) -> None:
        epoch = self.site.epoch
        waiting = [job for job in self.jobs if not job.confirmed and not job.refused and job.epoch == epoch]
        if not waiting or epoch % 2:
            return
        try:
            client = self.site.client()
            with client.client() as connection:
                connection.set("soak:mark", time.time())
                received = connection.wait(1, WAIT_MS)
        except (redis.RedisError, OSError):
            return
        if received and self.site.epoch == epoch:
            for job in waiting:
                job.confirmed = True
