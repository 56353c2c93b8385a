"""Rows that outlive Redis: dead letters, limits of orgs and resources, the outbox, and who did what."""

from __future__ import annotations

from queueops.models.letters import REASONS, DeadLetter
from queueops.models.limits import NAME, UNLIMITED, OrgLimit, Resource
from queueops.models.operations import Alert, AuditEntry, Operation
from queueops.models.outbox import OutboxEntry
from queueops.models.tokens import ApiToken, Scope

__all__ = [
    "NAME",
    "REASONS",
    "UNLIMITED",
    "Alert",
    "ApiToken",
    "AuditEntry",
    "DeadLetter",
    "Operation",
    "OrgLimit",
    "OutboxEntry",
    "Resource",
    "Scope",
]
