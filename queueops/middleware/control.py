"""Celery's remote control, with a revoke that the broker remembers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from celery import Celery
from celery.app.control import TERM_SIGNAME
from celery.app.control import Control as CeleryControl
from celery.app.task import Context
from celery.backends.base import DisabledBackend
from celery.utils.log import get_logger
from kombu.exceptions import OperationalError
from kombu.utils.functional import maybe_list
from kombu.utils.json import loads

from queueops.engine.store import Store
from queueops.errors import BrokerUnavailable
from queueops.middleware.publish import unavailable

__all__ = ["Control", "cancel", "cancel_one"]

logger = get_logger(__name__)


class Control(CeleryControl):
    """`app.control`."""

    def revoke(
        self,
        task_id: str | list[str],
        destination: Any = None,
        terminate: bool = False,
        signal: str = TERM_SIGNAME,
        **options: Any,
    ) -> Any:
        """Cancel jobs: first in the broker, which remembers it, then by Celery's broadcast to the workers.

        A job that waits is gone at once, whether or not a worker is up. A job that a worker has in hand does
        not start any more; one that runs is stopped with `terminate`, else its run is its last one.

        Args:
            task_id: one task id, or a list of them.
            destination: the workers that hear of it; the broker cancels in any case.
            terminate: stop what runs.
            signal: how a prefork child is stopped.
            options: of Celery's `broadcast` (reply, timeout, limit, connection, ...).

        Returns:
            The workers' answers with `reply=True`, else None.

        Raises:
            BrokerUnavailable: the broker did not answer; some of the jobs may be cancelled.
        """
        task_ids = [str(one) for one in maybe_list(task_id) or ()]
        cancel(self.app, task_ids, options.get("connection"), stop=bool(terminate))
        return super().revoke(task_id, destination, terminate, signal, **options)


def cancel(
    app: Celery, task_ids: Iterable[str], connection: Any = None, *, stop: bool = True
) -> Mapping[str, str]:
    """Cancel jobs in the broker, and store REVOKED for those that waited.

    Args:
        app: the Celery app.
        task_ids: ids of the jobs.
        connection: a kombu connection to use; one of the app's pool without.
        stop: a run that has begun is stopped; without, it may end, as the last one.

    Returns:
        By task id: "cancelled" (it waited, and is gone), "cancelling" (a worker has it) or "unknown". Empty
        for a broker that is not queueops.

    Raises:
        BrokerUnavailable: the broker did not answer.
    """
    with app.connection_or_acquire(connection) as used:
        try:
            store: Store | None = getattr(used.default_channel, "store", None)
            if store is None:
                return {}
            return {task_id: cancel_one(app, store, task_id, stop=stop) for task_id in task_ids}
        except BrokerUnavailable:
            raise
        except (OperationalError, *used.recoverable_connection_errors) as error:
            raise unavailable(used, error) from error


def cancel_one(app: Celery, store: Store, task_id: str, *, stop: bool = True) -> str:
    """Cancel one job; as `cancel`, whose word for it this returns."""
    # Read before, since a cancelled job leaves nothing behind.
    text = store.message_of(task_id) if _keeps_results(app) else None
    word = store.cancel(task_id, stop=stop)
    if word == "cancelled" and text is not None:
        _mark_revoked(app, task_id, text)
    return word


def _keeps_results(app: Celery) -> bool:
    try:
        return not isinstance(app.backend, DisabledBackend)
    except Exception:
        return True  # it can not be made: the job is cancelled all the same, and the log says the rest


def _mark_revoked(app: Celery, task_id: str, text: str) -> None:
    """Store what a worker would have stored, had it refused the job: no worker will ever see this one."""
    try:
        headers = dict(loads(text)["headers"])
        app.backend.mark_as_revoked(
            task_id, "revoked", request=Context(headers), store_result=not headers.get("ignore_result")
        )
    except Exception as error:
        # Whoever waits for the result learns it by a timeout.
        logger.warning("Job %s is cancelled, but REVOKED could not be stored: %s", task_id, error)
