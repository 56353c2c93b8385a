"""One job at a time: a second enqueue with the same key answers with the job that is there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, ClassVar

from kombu.exceptions import EncodeError
from kombu.utils.json import JSONEncoder

from queueops.conf import config
from queueops.errors import ConfigurationError
from queueops.middleware.chain import Envelope, Middleware
from queueops.middleware.options import span_ms

__all__ = ["Unique", "digest"]

#: Keys are compared as text, so the order in which a dict was made must not matter.
_encode: Callable[[Any], str] = JSONEncoder(sort_keys=True).encode
#: Hex digits of a digest: 160 bits, so that nobody finds two arguments with the same one.
_DIGITS = 40


class Unique(Middleware):
    """Turns `unique`, `unique_key` and `unique_for` into the key that the broker keeps one job for.

    The call decides before the task, a key before `unique`. A key belongs to one org and one task.
    """

    options: ClassVar[frozenset[str]] = frozenset({"unique", "unique_for", "unique_key"})

    def before_publish(self, envelope: Envelope) -> None:
        """Put the key's digest into the header; the next attempt of a job keeps the key that it holds."""
        plan, options = envelope.plan, envelope.options
        if envelope.is_retry or not (options or plan.unique or plan.unique_key):
            return
        key = options.get("unique_key")
        whole = options.get("unique")
        if key is None and whole is None:
            key, whole = _of_task(envelope), plan.unique
        if key is not None:
            if not isinstance(key, str) or not key:
                raise ConfigurationError(f"unique_key is a text that is not empty, not {key!r}.")
            what: list[Any] = ["key", key]
        elif whole:
            what = ["arguments", envelope.args, envelope.kwargs]
        else:
            return
        envelope.header["unique"] = digest(envelope.org or config().default_org, envelope.task, what)
        if span := span_ms("unique_for", options.get("unique_for", plan.unique_for)):
            envelope.header["unique_for"] = span


def _of_task(envelope: Envelope) -> str | None:
    key = envelope.plan.unique_key
    return (key(envelope.args, envelope.kwargs) or None) if callable(key) else key


def digest(org: str, task: str, what: list[Any]) -> str:
    """Return the digest of what makes a job unique.

    Args:
        org, task: names that the key belongs to.
        what: values that JSON can hold.

    Raises:
        EncodeError: JSON cannot hold them.
    """
    try:
        text = _encode([org, task, *what])
    except (TypeError, ValueError) as error:
        raise EncodeError(f"The arguments of a unique job must be JSON: {error}") from error
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
