"""The public door: what it offers, and that opening it costs next to nothing."""

from __future__ import annotations

import subprocess
import sys

import queueops


def test_every_name_of_the_door_is_there() -> None:
    # In a project of its own: some of the names are about rows, which Django must know.
    code = (
        "from tests.support import site; site.configure(); import queueops; "
        "print([n for n in queueops.__all__ if getattr(queueops, n) is None])"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == "[]"
    assert set(queueops.__all__) <= set(dir(queueops))


def test_importing_the_package_imports_neither_celery_nor_django_nor_redis() -> None:
    code = (
        "import sys, queueops; print([m for m in ('celery', 'django', 'redis', 'kombu') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == "[]"
