"""Multi-tenant queues for Celery: every queue shared fairly by the orgs that use it, decided inside Redis.

This is the public door; everything that is not named here may change. Names are loaded when they are used,
so that importing the package costs nothing in a process that only reads Django models.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from queueops.engine.rules.backoff import RetryPolicy
    from queueops.engine.rules.priority import Priority
    from queueops.middleware import install
    from queueops.middleware.batch_handler import Batching, BatchJob
    from queueops.middleware.chain import Envelope, Job, Middleware, Outcome
    from queueops.middleware.client import Enqueued, Item, enqueue_many
    from queueops.middleware.limiter import limit, try_acquire
    from queueops.middleware.on_commit import enqueue_on_commit
    from queueops.middleware.options import TaskOptions
    from queueops.middleware.org import current_org, org_context
    from queueops.ops.in_transaction import enqueue_in_transaction

__version__ = "0.1.0"

__all__ = [  # noqa: RUF022  in groups
    # set up
    "install",
    # publish
    "Enqueued",
    "Item",
    "Priority",
    "RetryPolicy",
    "TaskOptions",
    "current_org",
    "enqueue_in_transaction",
    "enqueue_many",
    "enqueue_on_commit",
    "org_context",
    # limits for code that is no job
    "limit",
    "try_acquire",
    # batch handlers
    "BatchJob",
    "Batching",
    # extend
    "Envelope",
    "Job",
    "Middleware",
    "Outcome",
    # errors
    "errors",
]

_HOME = {
    "install": "queueops.middleware",
    "Enqueued": "queueops.middleware.client",
    "Item": "queueops.middleware.client",
    "Priority": "queueops.engine.rules.priority",
    "RetryPolicy": "queueops.engine.rules.backoff",
    "TaskOptions": "queueops.middleware.options",
    "current_org": "queueops.middleware.org",
    "enqueue_in_transaction": "queueops.ops.in_transaction",
    "enqueue_many": "queueops.middleware.client",
    "enqueue_on_commit": "queueops.middleware.on_commit",
    "limit": "queueops.middleware.limiter",
    "try_acquire": "queueops.middleware.limiter",
    "org_context": "queueops.middleware.org",
    "BatchJob": "queueops.middleware.batch_handler",
    "Batching": "queueops.middleware.batch_handler",
    "Envelope": "queueops.middleware.chain",
    "Job": "queueops.middleware.chain",
    "Middleware": "queueops.middleware.chain",
    "Outcome": "queueops.middleware.chain",
}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("queueops.errors")
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
