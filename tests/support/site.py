"""Somebody else's Django project with queueops and its admin, in the process of the tests."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
import environ
from asgiref.sync import sync_to_async
from celery import Celery
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.urls import include, path

SQLITE = {
    "timeout": 20,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF",
}

#: Filled when Django is ready: admin cannot be imported earlier.
urlpatterns: list[Any] = []


def configure() -> None:
    """Set Django up, once for all of the process; the database is a file that `database` makes."""
    if settings.configured:
        return
    settings.configure(
        SECRET_KEY="tests",
        DEBUG=False,
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        TIME_ZONE="UTC",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        ROOT_URLCONF="tests.support.site",
        STATIC_URL="/static/",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
            "django.contrib.staticfiles",
            "django_celery_results",
            "django_celery_beat",
            "queueops",
            "tasks",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ],
                    "debug": True,
                },
            }
        ],
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/nonexistent", "OPTIONS": SQLITE}
        },
        QUEUEOPS={"QUEUES": {"webhooks": {}}},
    )
    django.setup()
    from django.contrib import admin

    urlpatterns.extend([path("", include("queueops.urls")), path("admin/", admin.site.urls)])


@contextmanager
def database(url: str = "") -> Iterator[None]:
    """A migrated database: the one at `url`, or a new SQLite file; afterwards the default is what it was."""
    folder = Path(tempfile.mkdtemp(prefix="queueops-site-"))
    made = environ.Env.db_url_config(url or f"sqlite:///{folder / 'db.sqlite3'}")
    if not url:
        made["OPTIONS"] = SQLITE
    before = connections.databases["default"]
    _use(made)
    try:
        call_command("migrate", verbosity=0)
        yield
    finally:
        _use(before)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def unmigrated(path: Path) -> Iterator[None]:
    """A database without any table; afterwards the default is what it was."""
    before = connections.databases["default"]
    _use({**environ.Env.db_url_config(f"sqlite:///{path}"), "OPTIONS": SQLITE})
    try:
        yield
    finally:
        _use(before)


def _use(database: dict[str, Any]) -> None:
    _leave()
    asyncio.run(sync_to_async(_leave)())  # the thread of views under ASGI, which outlives a test, has its own
    connections.databases["default"] = connections.configure_settings({"default": database})["default"]


def _leave() -> None:
    connections["default"].close()
    del connections["default"]


def empty() -> None:
    """Delete all rows that a test may have written."""
    from django.contrib.auth.models import User
    from django.contrib.sessions.models import Session
    from django_celery_beat import models as beat
    from django_celery_results.models import GroupResult, TaskResult

    from queueops.models import Alert, ApiToken, AuditEntry, DeadLetter, OrgLimit, OutboxEntry, Resource

    ours = (Alert, DeadLetter, OrgLimit, OutboxEntry, Resource, AuditEntry, ApiToken)
    times = (beat.ClockedSchedule, beat.CrontabSchedule, beat.IntervalSchedule, beat.SolarSchedule)
    for model in (*ours, beat.PeriodicTask, *times, Session, User, TaskResult, GroupResult):
        model._default_manager.all().delete()


def celery_app(broker_url: str) -> Celery:
    """The project's Celery application, current in this process."""
    import queueops

    app = Celery("site")
    app.conf.update(broker_url=broker_url, task_ignore_result=True)
    queueops.install(app)
    app.set_current()
    app.set_default()
    return app
