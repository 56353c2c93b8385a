"""The tasks that this project's workers know, looked up by the names that people type."""

from __future__ import annotations

import difflib

from celery import Celery, current_app

from queueops.errors import UnknownTask

__all__ = ["known_task"]

_NEAR = 3


def known_task(name: str) -> str:
    """Return the name if a task of this name is registered.

    Raises:
        UnknownTask: there is none; the error names those that look like it.
    """
    app: Celery = current_app._get_current_object()
    if name not in app.tasks:
        # A web process imports the modules of tasks only as far as its own code needs them.
        app.loader.import_default_modules()
    if name not in app.tasks:
        raise UnknownTask(name, _near(name, list(app.tasks)))
    return name


def _near(name: str, known: list[str]) -> list[str]:
    # Whoever types the function's name alone, or another package before it, means the same end.
    last = name.rpartition(".")[2]
    same = sorted(one for one in known if last and one.rpartition(".")[2] == last)
    alike = difflib.get_close_matches(name, known, _NEAR, cutoff=0.7)
    return list(dict.fromkeys([*same, *alike]))[:_NEAR]
