"""What Celery reads of a task's signature is still there when queueops has put itself around the task."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import pytest
from celery import Celery

import queueops


@pytest.fixture
def app() -> Celery:
    made = Celery("headers", broker="queueops://127.0.0.1:1/0", set_as_current=False)
    queueops.install(made)
    return made


def test_an_errback_is_known_by_its_arguments(app: Celery) -> None:
    @app.task(name="old_style", shared=False)
    def old_style(task_id: str, note: str = "") -> None: ...

    @app.task(name="new_style", shared=False)
    def new_style(request: Any, exc: Any, traceback: Any) -> None: ...

    app.finalize()
    for name, arguments in (
        ("old_style", ["task_id", "note"]),
        ("new_style", ["request", "exc", "traceback"]),
    ):
        header = app.tasks[name].__header__
        assert inspect.getfullargspec(header).args == arguments
        assert not inspect.getfullargspec(header).varargs
    left = partial(app.tasks["old_style"].__header__, note="kept")
    assert inspect.getfullargspec(left).kwonlyargs == ["note"]


def test_a_bound_task_has_a_partial_as_with_celery(app: Celery) -> None:
    @app.task(name="bound", bind=True, shared=False)
    def bound(self: Any, number: int) -> None: ...

    app.finalize()
    header = app.tasks["bound"].__header__
    assert isinstance(header, partial)
    header(1)
    with pytest.raises(TypeError):
        header(1, 2)
