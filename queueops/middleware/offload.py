"""Arguments too large for the broker travel beside it: stored at the publish, read before the run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from kombu.exceptions import EncodeError
from kombu.utils.json import JSONEncoder

from queueops.conf import config
from queueops.errors import PublishError
from queueops.middleware import payloads
from queueops.middleware.chain import Envelope, Job, Middleware

__all__ = ["Offload", "accept_reference"]

_encode: Callable[[Any], str] = JSONEncoder().encode
#: Bytes that are left for headers, callbacks and the rest of a chain.
_HEADROOM = 4_096


def accept_reference(task: Any) -> None:
    """Let `task` publish its next attempt without arguments, where a reference stands for them.

    Celery checks the arguments of a retry as those of any call, and the request has none.
    """
    check = getattr(task, "__header__", None)
    if check is None:
        return

    def checked(*args: Any, **kwargs: Any) -> Any:
        if not args and not kwargs and (request := task.request_stack.top) is not None:
            header = (request.headers or {}).get("queueops")
            if header and "offload" in header:
                return None
        return check(*args, **kwargs)

    # Celery reads from it how an errback wants to be called: from its arguments, or that it is a partial.
    checked.__signature__ = inspect.signature(check)  # type: ignore[attr-defined]
    task.__header__ = partial(checked) if isinstance(check, partial) else checked


class Offload(Middleware):
    """Puts oversized arguments into Django's storage and a reference into the header, where the call or its
    task says `offload`.
    """

    options: ClassVar[frozenset[str]] = frozenset({"offload"})
    run_marks: ClassVar[frozenset[str]] = frozenset({"offload"})

    def before_publish(self, envelope: Envelope) -> None:
        """Store what would not fit; the next attempt of a job refers to the same file."""
        header, args, kwargs = envelope.header, envelope.args, envelope.kwargs
        wanted = envelope.options.get("offload", envelope.plan.offload)
        if envelope.is_retry and (args or kwargs):
            # A task that calls `self.retry(args=...)` has put others in place of those in the file.
            wanted = header.pop("offload", None) is not None or wanted
        if not wanted or not (args or kwargs):
            return
        try:
            text = _encode([args, kwargs])
        except (TypeError, ValueError) as error:
            raise EncodeError(f"Arguments that are offloaded must be JSON: {error}") from error
        # The message holds them in base64.
        if len(text) * 4 // 3 + _HEADROOM <= config().max_payload_bytes:
            return
        header["offload"] = payloads.save(envelope.task_id, text)
        envelope.args, envelope.kwargs = [], {}

    def publish_refused(self, envelope: Envelope, error: PublishError) -> None:
        """Take the file back: no job refers to it."""
        if name := envelope.header.get("offload"):
            payloads.remove(name)

    def before_run(self, job: Job) -> None:
        """Read the arguments; a storage that is away is an error of the attempt, which is retried."""
        if name := job.header.get("offload"):
            args, job.kwargs = payloads.load(name)
            job.args = tuple(args)
