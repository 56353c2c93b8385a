"""Somebody else's Django project with queueops in it: as little as possible beside it."""

from __future__ import annotations

import json
import os

import environ

SECRET_KEY = "tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django_celery_results",
    "django_celery_beat",
    "queueops",
]
DATABASES = {"default": environ.Env().db_url("DATABASE_URL")}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # Workers, collector and results write side by side.
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
    }
else:
    # A server that is away must be noticed, and not waited for.
    DATABASES["default"]["OPTIONS"] = {"connect_timeout": 2}

# Where the storage of offloaded arguments is.
MEDIA_ROOT = os.environ.get("LEDGER_MEDIA", "")

CELERY_BROKER_URL = os.environ.get("QUEUEOPS_BROKER_URL", "")
CELERY_RESULT_BACKEND = "django-db"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULER = "queueops.ops.beat:Scheduler"
QUEUEOPS = json.loads(os.environ.get("LEDGER_SETTINGS", "{}"))
