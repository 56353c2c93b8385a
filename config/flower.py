"""Flower's configuration, executed by Flower itself: `celery -A config flower`.

Flower can revoke tasks and stop workers, so it is never open: without FLOWER_BASIC_AUTH it starts only with
DEBUG. Its broker tab reads the length of the Redis list named after each queue; the broker keeps those
lists as long as the queues really are.
"""

import os

from django.conf import settings

if not os.environ.get("FLOWER_BASIC_AUTH") and not settings.DEBUG:
    raise SystemExit(
        "Flower needs a login: set FLOWER_BASIC_AUTH=user:password in the environment or in .env."
    )

if os.environ.get("FLOWER_BASIC_AUTH"):
    basic_auth = os.environ["FLOWER_BASIC_AUTH"].split(",")
address = os.environ.get("FLOWER_ADDRESS", "127.0.0.1")
port = int(os.environ.get("FLOWER_PORT") or 5555)
