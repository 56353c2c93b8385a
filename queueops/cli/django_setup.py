"""Django, where nobody has set it up before: under `celery` and as a program of its own."""

from __future__ import annotations

import os

from queueops.cli.failures import Refused

__all__ = ["ensure"]


def ensure() -> None:
    """Set Django up unless that was done. Raises Refused where no settings are named."""
    import django
    from django.apps import apps
    from django.conf import settings

    if apps.ready:
        return
    if not settings.configured and not os.environ.get("DJANGO_SETTINGS_MODULE"):
        raise Refused(
            "Nothing says which Django settings to use. Call it as `python manage.py queueops` or "
            "`celery -A PROJECT queueops`, or set DJANGO_SETTINGS_MODULE.",
            code=2,
        )
    django.setup()
