"""Admin: dead letters, limits of orgs and resources, outbox, audit log. A button calls one verb of `ops`."""

from queueops.admin import audit, dead_letters, limits, outbox, resources, schedules

__all__ = ["audit", "dead_letters", "limits", "outbox", "resources", "schedules"]
