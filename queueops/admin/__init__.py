"""Admin: dead letters, limits of orgs, and the audit log. Every button calls one verb of `queueops.ops`."""

from queueops.admin import audit, dead_letters, limits

__all__ = ["audit", "dead_letters", "limits"]
