"""Starts Celery's testing worker twice in one process, as two tests of a project do; prints what ran."""

from __future__ import annotations

import os
from typing import Any

from celery.contrib.testing.worker import start_worker

from tests.apps.ledger import make_app


def main() -> None:
    """Run one job in each of two workers, one after the other."""
    app = make_app(os.environ["QUEUEOPS_BROKER_URL"], result_backend="cache+memory://")
    ran: list[Any] = []

    @app.task(name="twice.note", ignore_result=False)
    def note(value: str) -> str:
        ran.append(value)
        return value

    for value in ("first", "second"):
        with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20):
            assert note.delay(value).get(timeout=15) == value
    print(",".join(ran))


if __name__ == "__main__":
    main()
