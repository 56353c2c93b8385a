"""The project's settings with what a page needs to know who asks; sessions need no table."""

from __future__ import annotations

from tests.apps.settings import *  # noqa: F403

ROOT_URLCONF = "tests.apps.web_urls"
ALLOWED_HOSTS = ["*"]
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
