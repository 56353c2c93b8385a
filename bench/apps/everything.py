"""queueops with every feature of a job in use, none of whose limits is ever reached."""

from __future__ import annotations

from bench.apps import ours
from bench.apps.jobs import QUEUE
from queueops.engine.rules.gates import Breaker, Limits, ResourceLimits

app, noop = ours.app, ours.noop

ORGS = [f"org{number}" for number in range(10)]
RESOURCE = "gateway"
NO_LIMIT = 6_000_000.0


def enqueue(count: int) -> None:
    """Enqueue no-op jobs one at a time: of orgs and a resource with limits, unique, with a deadline."""
    _limit()
    for number in range(count):
        noop.apply_async(
            (number,),
            org=ORGS[number % len(ORGS)],
            resource=RESOURCE,
            unique_key=f"{count}-{number}",
            deadline=3_600,
            priority=number % 11,
        )


def _limit() -> None:
    with app.connection_for_write() as connection:
        store = connection.default_channel.store
        limits = Limits(weight=2, rpm=NO_LIMIT, burst=1_000_000, max_in_flight=100_000)
        store.set_limits(QUEUE, dict.fromkeys(ORGS, limits))
        store.set_resources(
            {
                RESOURCE: ResourceLimits(
                    per_minute=NO_LIMIT, burst=1_000_000, max_in_flight=100_000, breaker=Breaker()
                )
            }
        )
        store.set_queue(QUEUE, max_ready=1_000_000, max_ready_per_org=1_000_000)
