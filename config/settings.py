"""Settings of the project around queueops.

Everything that differs between machines comes from the environment or from a file `.env` beside manage.py
(made by `make up`; `.env.example` names what may stand in it). Without DEBUG no secret has a default:
the project refuses to start instead of running with one that everybody knows.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import environ
from celery.schedules import crontab
from django.core.exceptions import ImproperlyConfigured

from config.broker import broker_url

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
env.read_env(BASE_DIR / ".env")

VAR_DIR = Path(env.str("QUEUEOPS_VAR", default=str(BASE_DIR / "var")))
VAR_DIR.mkdir(parents=True, exist_ok=True)

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or ("insecure-only-for-debug" if DEBUG else "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY is not set. Set it in the environment or in .env, or set DEBUG=true on your own machine."
    )
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_results",
    "django_celery_beat",
    # For the scripts of the API's page: without it they come from a CDN.
    "ninja",
    "queueops",
    "tasks",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Database

if env.str("DATABASE_URL", default=""):
    DATABASES = {"default": {**env.db_url("DATABASE_URL"), "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}}
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": VAR_DIR / "db.sqlite3",
            "OPTIONS": {
                # A transaction that reads before it writes cannot wait for the lock when it started as
                # DEFERRED: it fails at once. IMMEDIATE takes the lock first, and then the timeout (seconds)
                # applies.
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# People and pages

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

LANGUAGE_CODE = "en"
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedStaticFilesStorage"
    },
}

# Behind a proxy that ends TLS, HTTPS=true makes cookies secure and sends plain requests there.
HTTPS = env.bool("HTTPS", default=False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0

# Celery

CELERY_BROKER_URL = broker_url(env)
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = True
CELERY_RESULT_EXPIRES = timedelta(days=7)
CELERY_BEAT_SCHEDULER = "queueops.ops.beat:Scheduler"
CELERY_TIMEZONE = TIME_ZONE
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_RESULT_ACCEPT_CONTENT = ["json"]
# Flower and `celery events` live on these.
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_TASK_SEND_SENT_EVENT = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULE = {
    # Beat's own entry of this name, with a task that deletes in batches.
    "celery.backend_cleanup": {
        "task": "tasks.maintenance.clean_results",
        "schedule": crontab(hour=4, minute=0),
    },
    "clean_deliveries": {
        "task": "tasks.maintenance.clean_deliveries",
        "schedule": crontab(hour=4, minute=15),
    },
}

QUEUEOPS = {
    "QUEUES": {
        "critical": {"weight": 10},
        "standard": {"weight": 5},
        "bulk": {"weight": 1},
        "webhooks": {"weight": 5},
    },
    "ROUTES": {
        "tasks.webhooks.*": "webhooks",
    },
    "DEFAULT_QUEUE": "standard",
    "ALLOW_PRIVATE_ADDRESSES": env.bool("ALLOW_PRIVATE_ADDRESSES", default=False),
    # Beside the dashboard; an empty address is no link.
    "LINKS": {
        "Flower": env.str("FLOWER_URL", default=f"http://127.0.0.1:{env.int('FLOWER_PORT', default=5555)}/"),
        "Grafana": env.str("GRAFANA_URL", default=""),
    },
}
# Timeouts, retention and limits of webhooks, in JSON; the names are in tasks/conf.py.
WEBHOOKS = env.json("WEBHOOKS", default={})
# By queue; the environment says others in JSON. A receiver that is down for a night still gets its events:
# 12 attempts, the last one after 14 hours.
JOB_RETRY_POLICIES = {
    "webhooks": {"base_seconds": 30, "cap_seconds": 21_600, "attempts": 12},
    **env.json("JOB_RETRY_POLICIES", default={}),
}
