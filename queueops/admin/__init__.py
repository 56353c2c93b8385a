"""Admin: dead letters, limits of orgs, outbox, audit log. Every button calls one verb of `queueops.ops`."""

from queueops.admin import audit, dead_letters, limits, outbox, schedules

__all__ = ["audit", "dead_letters", "limits", "outbox", "schedules"]
