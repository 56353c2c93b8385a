"""Flower's configuration, executed by Flower itself: `celery -A config flower`.

Flower can revoke tasks and stop workers, so it is never open: without FLOWER_BASIC_AUTH it starts only with
DEBUG. Its broker tab reads the length of the Redis list named after each queue; the broker keeps those
lists as long as the queues really are.
"""

import os

from django.conf import settings
from flower.views import BaseHandler

if not os.environ.get("FLOWER_BASIC_AUTH") and not settings.DEBUG:
    raise SystemExit("Flower needs a login: set FLOWER_BASIC_AUTH=user:password, in .env for instance.")

if os.environ.get("FLOWER_BASIC_AUTH"):
    basic_auth = os.environ["FLOWER_BASIC_AUTH"].split(",")
    if not all(all(login.partition(":")[::2]) for login in basic_auth):
        raise SystemExit("FLOWER_BASIC_AUTH is user:password, several with commas; none of them empty.")
address = os.environ.get("FLOWER_ADDRESS", "127.0.0.1")
port = int(os.environ.get("FLOWER_PORT") or 5555)

queues_of_workers = BaseHandler.get_active_queue_names


def all_queues(handler: BaseHandler) -> list[str]:
    """The queues of the broker tab: what Flower saw workers serve, and every declared one."""
    return sorted({*queues_of_workers(handler), *handler.capp.amqp.queues})


BaseHandler.get_active_queue_names = all_queues
