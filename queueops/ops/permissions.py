"""Who acts, from where, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied

from queueops.models import AuditEntry

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin

__all__ = [
    "ADD_LIMIT",
    "ADD_RESOURCE",
    "CANCEL_JOB",
    "CHANGE_LIMIT",
    "CHANGE_RESOURCE",
    "CLEANUP",
    "CREATE_TOKEN",
    "DISCARD",
    "DISCARD_OUTBOX",
    "DRAIN_QUEUE",
    "EDIT",
    "ENQUEUE_JOB",
    "EXPORT",
    "FORGET_ORG",
    "HOLD_JOB",
    "OPERATE_SCHEDULE",
    "OPERATE_WORKER",
    "PANIC",
    "PAUSE_ORG",
    "PAUSE_QUEUE",
    "PAUSE_RESOURCE",
    "PAUSE_TASK",
    "PURGE",
    "RECOVER",
    "REPAIR",
    "REPLAY",
    "RESET_LIMIT",
    "RESET_RESOURCE",
    "RETRY_JOB",
    "RETRY_OUTBOX",
    "REVOKE_TOKEN",
    "UNSTICK_JOB",
    "VIEW_AUDIT",
    "VIEW_JOBS",
    "VIEW_LETTERS",
    "VIEW_OPERATIONS",
    "VIEW_PAYLOAD",
    "VIEW_TOKENS",
    "Actor",
]

VIEW_PAYLOAD = "queueops.view_payload"
REPLAY = "queueops.replay_deadletter"
EDIT = "queueops.edit_deadletter"
DISCARD = "queueops.discard_deadletter"
PURGE = "queueops.purge_deadletter"
ADD_LIMIT = "queueops.add_orglimit"
CHANGE_LIMIT = "queueops.change_orglimit"
RESET_LIMIT = "queueops.delete_orglimit"
PAUSE_ORG = "queueops.pause_org"
PAUSE_QUEUE = "queueops.pause_queue"
ADD_RESOURCE = "queueops.add_resource"
CHANGE_RESOURCE = "queueops.change_resource"
RESET_RESOURCE = "queueops.delete_resource"
PANIC = "queueops.panic_resource"
PAUSE_RESOURCE = "queueops.pause_resource"
PAUSE_TASK = "queueops.pause_task"
RETRY_OUTBOX = "queueops.retry_outboxentry"
DISCARD_OUTBOX = "queueops.discard_outboxentry"
VIEW_JOBS = "queueops.view_jobs"
CANCEL_JOB = "queueops.cancel_job"
HOLD_JOB = "queueops.hold_job"
RETRY_JOB = "queueops.retry_job"
UNSTICK_JOB = "queueops.unstick_job"
RECOVER = "queueops.recover_leases"
DRAIN_QUEUE = "queueops.drain_queue"
REPAIR = "queueops.repair_broker"
CLEANUP = "queueops.cleanup"
ENQUEUE_JOB = "queueops.enqueue_job"
EXPORT = "queueops.export_deadletter"
FORGET_ORG = "queueops.forget_org"
OPERATE_SCHEDULE = "queueops.operate_schedule"
OPERATE_WORKER = "queueops.operate_worker"
VIEW_AUDIT = "queueops.view_auditentry"
VIEW_LETTERS = "queueops.view_deadletter"
VIEW_OPERATIONS = "queueops.view_operations"
CREATE_TOKEN = "queueops.create_apitoken"
REVOKE_TOKEN = "queueops.revoke_apitoken"
VIEW_TOKENS = "queueops.view_apitoken"


@dataclass(frozen=True, slots=True)
class Actor:
    """The one who asks for a verb.

    Attributes:
        name: what the audit entry says.
        surface: where the request came from, one of `AuditEntry.Surface`.
        user: the account whose permissions count; None for who has a shell on the machine and needs none.
    """

    name: str
    surface: AuditEntry.Surface
    user: AbstractBaseUser | PermissionsMixin | AnonymousUser | None = None

    @classmethod
    def of(cls, user: AbstractBaseUser | AnonymousUser, surface: AuditEntry.Surface) -> Actor:
        """The person behind a request to admin or to the API."""
        return cls(user.get_username() or "anonymous", surface, user)

    @classmethod
    def shell(cls, name: str) -> Actor:
        """The person at a command line."""
        return cls(name, AuditEntry.Surface.CLI)

    @classmethod
    def system(cls, name: str = "system") -> Actor:
        """A chore."""
        return cls(name, AuditEntry.Surface.SYSTEM)

    def may(self, permission: str) -> bool:
        """Whether the actor has the permission, named as "app.codename"."""
        return self.user is None or bool(self.user.has_perm(permission))  # type: ignore[union-attr]

    def require(self, permission: str) -> None:
        """Raise PermissionDenied, naming the permission, unless the actor has it."""
        if not self.may(permission):
            raise PermissionDenied(f"{self.name} needs the permission {permission}.")
