"""Admin: letters, limits of orgs and resources, outbox, audit, tokens. A button calls one verb of `ops`."""

from queueops.admin import audit, dead_letters, limits, outbox, resources, schedules, tokens

__all__ = ["audit", "dead_letters", "limits", "outbox", "resources", "schedules", "tokens"]
