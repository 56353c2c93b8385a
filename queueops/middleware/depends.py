"""Jobs that wait for other jobs: which ones, and what happens when one of them dies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from celery.result import AsyncResult

from queueops.errors import ConfigurationError, DependencyCycle
from queueops.middleware.chain import Envelope, Middleware
from queueops.middleware.options import Parents, span_ms

__all__ = ["AFTER_LIMIT", "Depends", "parent_ids"]

#: Most jobs that one job may wait for: its message names them all.
AFTER_LIMIT = 1_000


class Depends(Middleware):
    """Turns `after`, `on_parent_death` and `keep_for` into what the broker acts on."""

    options: ClassVar[frozenset[str]] = frozenset({"after", "keep_for", "on_parent_death"})

    def before_publish(self, envelope: Envelope) -> None:
        """Write the parents into the header of a first publish; another attempt has waited already."""
        plan, options = envelope.plan, envelope.options
        if envelope.is_retry or not (options or plan.keep_for):
            return
        if span := span_ms("keep_for", options.get("keep_for", plan.keep_for)):
            envelope.header["keep"] = span
        after = options.get("after")
        if after is None:
            return
        parents = parent_ids(after)
        if envelope.task_id in parents:
            raise DependencyCycle([envelope.task_id])
        if not parents:
            return
        envelope.header["after"] = parents
        policy = options.get("on_parent_death") or plan.on_parent_death or "wait"
        if policy not in ("wait", "cancel"):
            raise ConfigurationError(f'on_parent_death is "wait" or "cancel", not {policy!r}.')
        if policy == "cancel":
            envelope.header["cancel_with_parent"] = True


def parent_ids(after: Parents) -> list[str]:
    """Return the task ids that an option `after` names, each once.

    Raises:
        ConfigurationError: it is neither a task id nor a result nor several of them, or too many.
    """
    found = dict.fromkeys(_ids(after))
    if len(found) > AFTER_LIMIT:
        raise ConfigurationError(
            f"after names {len(found):,} jobs, the limit is {AFTER_LIMIT:,}: let a chord wait for them."
        )
    return list(found)


def _ids(after: Any) -> Iterable[str]:
    if isinstance(after, str) and after:
        yield after
    elif isinstance(after, AsyncResult):
        yield str(after.id)
    elif isinstance(after, Iterable) and not isinstance(after, str | bytes | dict):
        for one in after:
            yield from _ids(one)
    else:
        raise ConfigurationError(f"after is a task id, a result, or several of them, not {after!r}.")
