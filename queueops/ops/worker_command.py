"""The shell command that starts one more worker."""

from __future__ import annotations

from collections.abc import Iterable
from secrets import token_hex

from celery import current_app

__all__ = ["command"]


def command(
    queue: str | Iterable[str], count: int | None, *, pool: str = "", name: str = "", app: str | None = None
) -> str:
    """The shell command that starts a worker.

    Args:
        queue: one or several.
        count: of its slots; None is what settings and environment say.
        pool: as `--pool` takes it; "" is Celery's default.
        name: its name in Celery; "" makes one of the queue, four random characters and the machine.
        app: as `--app` takes it; None is the project's application.
    """
    queues = queue if isinstance(queue, str) else ",".join(queue)
    chosen = (f" --pool {pool}" if pool else "") + (f" -c {count}" if count else "")
    # Two processes of one name would both follow, and answer, what one of them is told.
    called = name or f"{queues.replace(',', '-')}-{token_hex(2)}@%h"
    return f"celery -A {app or current_app.main or 'config'} worker -Q {queues}{chosen} -n {called}"
