"""Dead letters: the jobs that gave up."""

from __future__ import annotations

import base64
from typing import ClassVar

from django.db import models

from queueops.engine.rules.states import LetterStatus, Reason
from queueops.models.querysets import DeadLetterQuerySet

__all__ = ["REASONS", "DeadLetter"]

#: Why a job died, and how people read it.
REASONS = [(reason.value, reason.value.replace("_", " ")) for reason in Reason]


class DeadLetter(models.Model):
    """A job that gave up, with everything that is needed to understand it and to run it again."""

    id = models.BigAutoField(primary_key=True)
    queue = models.CharField(max_length=255)
    org = models.CharField(max_length=128)
    resource = models.CharField(max_length=128, blank=True)
    task = models.CharField(max_length=255, blank=True)
    task_id = models.CharField("task id", max_length=255, blank=True)
    args = models.JSONField(
        default=list, blank=True, help_text="For reading; a replay uses the whole message."
    )
    kwargs = models.JSONField(default=dict, blank=True)
    message = models.TextField(help_text="The whole message as the broker held it.")
    message_encoding = models.CharField(
        max_length=8, blank=True, help_text="'base64' where the message has bytes that a text column refuses."
    )
    reason = models.CharField(max_length=32, choices=REASONS)
    error_class = models.CharField("error", max_length=255, blank=True)
    error_message = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    fingerprint = models.CharField(max_length=16, help_text="Equal for letters that died of the same error.")
    attempts = models.JSONField(
        default=list, blank=True, help_text="Times, errors and workers, oldest first."
    )
    attempt_count = models.PositiveIntegerField("attempts", default=1)
    deliveries = models.PositiveIntegerField(default=1)
    worker = models.CharField(max_length=255, blank=True)
    run_ms = models.PositiveBigIntegerField("last run (ms)", default=0)
    first_enqueued_at = models.DateTimeField("first enqueued", null=True, blank=True)
    died_at = models.DateTimeField("died")
    status = models.CharField(
        max_length=16, choices=[(s.value, s.value) for s in LetterStatus], default=LetterStatus.PARKED.value
    )
    closed_at = models.DateTimeField("closed", null=True, blank=True)
    closed_by = models.CharField(max_length=150, blank=True)
    origin = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="descendants", db_index=False,
        help_text="The first letter of this job, where this one died in a replay.",
    )  # fmt: skip
    replay_number = models.PositiveIntegerField(
        default=0, help_text="Which replay of the job died here; 0 is none."
    )
    lease_token = models.CharField(max_length=255, unique=True, help_text="Of the delivery that died.")

    objects: ClassVar[models.Manager[DeadLetter]] = DeadLetterQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        permissions = [
            ("view_payload", "Can see the payload of jobs (arguments, message)"),
            ("replay_deadletter", "Can replay dead letters"),
            ("edit_deadletter", "Can edit the arguments of dead letters and replay them"),
            ("discard_deadletter", "Can discard dead letters"),
            ("purge_deadletter", "Can purge dead letters"),
        ]
        # Each filter of the list is one index that already has the list's order, read backwards: a page costs
        # its own rows, however many there are. `id` orders letters of one millisecond; `status` comes last,
        # so that letters of another status are passed over without a look at their rows. What follows it lets
        # errors be counted without one.
        indexes = [
            models.Index(fields=["status", "died_at", "id", "fingerprint"], name="queueops_letter_status"),
            models.Index(fields=["died_at", "id", "status"], name="queueops_letter_died"),
            models.Index(
                fields=["queue", "died_at", "id", "status", "fingerprint"], name="queueops_letter_queue"
            ),
            models.Index(
                fields=["org", "died_at", "id", "status", "fingerprint"], name="queueops_letter_org"
            ),
            models.Index(fields=["task", "died_at", "id", "status"], name="queueops_letter_task"),
            models.Index(fields=["reason", "died_at", "id", "status"], name="queueops_letter_reason"),
            models.Index(fields=["error_class", "died_at", "id", "status"], name="queueops_letter_error"),
            models.Index(
                fields=["fingerprint", "died_at", "id", "status", "queue", "org"],
                name="queueops_letter_fingerprint",
            ),
            models.Index(fields=["task_id"], name="queueops_letter_task_id"),
            # Counts the letters of a queue without a look at their rows.
            models.Index(fields=["status", "queue"], name="queueops_letter_counts"),
            models.Index(fields=["origin", "replay_number"], name="queueops_letter_line"),
        ]

    def __str__(self) -> str:
        return f"letter {self.pk} ({self.task or 'unreadable'} of {self.org})"

    @property
    def raw_message(self) -> str:
        """The message, character by character as the broker held it."""
        if self.message_encoding == "base64":
            return base64.b64decode(self.message).decode("utf-8", "surrogatepass")
        return self.message
