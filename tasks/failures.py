"""Why a delivery failed. One tree; the branch decides whether the job is tried again.

Each class takes one message as its only positional argument and can be pickled: prefork children send their
exception to the parent that way.
"""

from __future__ import annotations


class DeliveryFailed(Exception):
    """The event was not accepted by its endpoint."""

    retry_after: float | None = None
    """Seconds the receiver asks us to wait before the next attempt; the retry policy never goes below it."""

    status: int | None = None
    """HTTP status of the answer, None where there was none."""

    excerpt: str = ""
    """The beginning of the answer's body."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class TemporaryFailure(DeliveryFailed):
    """The receiver could not take the event now; it is tried again by the queue's retry policy."""


class PermanentFailure(DeliveryFailed):
    """The same request would be refused again; it becomes a dead letter at once."""


class AddressRefused(PermanentFailure):
    """The endpoint's host is, or resolves to, an address that webhooks must not reach."""


class EndpointUnusable(PermanentFailure):
    """The endpoint does not exist any more, is switched off, or belongs to another org."""


class InvalidEvent(PermanentFailure):
    """The event cannot be sent: its payload is not JSON, or its signature headers have unknown names."""
