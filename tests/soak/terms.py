"""What both sides of a soak agree on: lengths of time, queues, and how often a job may fail."""

from __future__ import annotations

#: Short, so that minutes hold many faults that are longer than a lease.
LEASE_SECONDS = 6
HEARTBEAT_SECONDS = 2
#: Attempts of a failing job, and the wait before each.
ATTEMPTS = 3
RETRY_SECONDS = 1

QUEUES = ("critical", "standard", "bulk")
ORGS = tuple(f"org{number}" for number in range(6))
#: The org that may have only so many jobs in flight.
CAPPED_ORG, CAP = "org0", 2

#: In the environment: which broker the processes of this soak speak to.
ARM = "SOAK_ARM"
OURS, STOCK = "queueops", "stock"
