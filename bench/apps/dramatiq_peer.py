"""Dramatiq on its Redis broker."""

from __future__ import annotations

import os

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker

counter = redis.Redis.from_url(os.environ["BENCH_COUNTER"])
dramatiq.set_broker(RedisBroker(url=f"redis://{os.environ['BENCH_BROKER']}"))


@dramatiq.actor(queue_name="standard")
def noop(number: int) -> None:
    """Count itself."""
    counter.incr("done")


def enqueue(count: int) -> None:
    """Enqueue no-op jobs one at a time."""
    for number in range(count):
        noop.send(number)
