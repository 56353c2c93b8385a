"""Run the project's own commands as a user would, away from the user's data."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("BROKER_PORT", "WEB_PORT", "FLOWER_PORT")
# What the machine or a .env may say must not decide a test.
FOREIGN = (
    *NAMES,
    *(
        "SECRET_KEY",
        "DEBUG",
        "DATABASE_URL",
        "QUEUEOPS_BROKER_URL",
        "REDIS_URL",
        "FLOWER_BASIC_AUTH",
        "FLOWER_CONF",
    ),
    *(
        "ADMIN_USER",
        "ADMIN_PASSWORD",
        "WORKER_CONCURRENCY",
        "MAKEFLAGS",
        "MFLAGS",
        "MAKELEVEL",
        "DJANGO_SETTINGS_MODULE",
    ),
)


def environment(**values: str) -> dict[str, str]:
    """The environment of this process without the project's settings, then these values.

    An empty value counts as set, so that a .env beside manage.py does not fill it.
    """
    return {name: value for name, value in os.environ.items() if name not in FOREIGN} | values


def python(*arguments: str, env: dict[str, str], timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run this interpreter at the root of the project."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout)
