"""What is set, and by whom: every setting of queueops, and those of Celery that it sets or depends on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from datetime import timedelta
from typing import Any

from celery import Celery, current_app
from django.core.checks import CheckMessage, run_checks

from queueops.conf import Config, config
from queueops.ops import permissions
from queueops.ops.masking import MASK, is_masked, mask, mask_text
from queueops.ops.permissions import Actor

__all__ = ["Setting", "check", "shown"]

#: Celery's settings that queueops sets where the project has not, or whose value it depends on.
CELERY = (
    "broker_url",
    "broker_read_url",
    "broker_write_url",
    "broker_failover_strategy",
    "broker_transport_options",
    "broker_connection_retry",
    "broker_connection_retry_on_startup",
    "result_backend",
    "result_expires",
    "result_extended",
    "task_ignore_result",
    "task_default_queue",
    "task_create_missing_queues",
    "task_queues",
    "task_routes",
    "task_serializer",
    "accept_content",
    "task_compression",
    "task_acks_late",
    "task_acks_on_failure_or_timeout",
    "task_reject_on_worker_lost",
    "task_always_eager",
    "task_time_limit",
    "task_soft_time_limit",
    "task_publish_retry_policy",
    "task_send_sent_event",
    "worker_concurrency",
    "worker_pool",
    "worker_autoscaler",
    "worker_prefetch_multiplier",
    "worker_disable_rate_limits",
    "worker_max_tasks_per_child",
    "worker_max_memory_per_child",
    "worker_send_task_events",
    "worker_cancel_long_running_tasks_on_connection_loss",
    "worker_soft_shutdown_timeout",
    "beat_scheduler",
    "beat_cron_starting_deadline",
    "enable_utc",
    "timezone",
)
#: Celery reads these from the environment above everything else.
_FROM_ENVIRONMENT = {
    "broker_url": "CELERY_BROKER_URL",
    "broker_read_url": "CELERY_BROKER_READ_URL",
    "broker_write_url": "CELERY_BROKER_WRITE_URL",
    "result_backend": "CELERY_RESULT_BACKEND",
}
#: What a chat service gives out to post to it: whoever knows the path may post.
_WEBHOOK = re.compile(r"(?P<origin>[a-z][a-z0-9+.-]*://[^\s/?#]*)[/?#].+", re.IGNORECASE | re.DOTALL)
#: Up to the last @: a password may hold a slash that nobody has escaped.
_ADDRESS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^\s;,'\"]*@", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting.

    Attributes:
        name: as "LEASE_SECONDS", "QUEUES.bulk.limits.rpm", or "CELERY.task_acks_late" for one of Celery's.
        value: in JSON's types; passwords in addresses, values under MASK_KEYS and what follows the host of a
            webhook are masked.
        source: as "default", "settings QUEUEOPS", "environment NAME", "settings of Celery" or "queueops".
    """

    name: str
    value: Any
    source: str


def shown(actor: Actor) -> list[Setting]:
    """Every setting with its value and who says so.

    Raises:
        PermissionDenied: the actor may not see operations.
        ConfigurationError: a setting is refused; the error names it.
    """
    actor.require(permissions.VIEW_OPERATIONS)
    found = config()
    return [*_own(found), *_celery(current_app._get_current_object())]


def check(actor: Actor, *, broker: bool = True) -> list[CheckMessage]:
    """What Django's system checks say of queueops, the worst first.

    Args:
        broker: also the check that asks the broker.

    Raises:
        PermissionDenied: the actor may not see operations.
    """
    actor.require(permissions.VIEW_OPERATIONS)
    said = run_checks(tags=["queueops"], include_deployment_checks=broker)
    return sorted(said, key=lambda message: -message.level)


def _own(found: Config) -> Iterator[Setting]:
    for field in fields(found):
        name = field.name.upper()
        if name not in ("SOURCES", "QUEUES", "RETRY_POLICIES", "RESOURCES"):
            yield Setting(name, _value(name, getattr(found, field.name)), found.source(name))
    for queue, options in found.queues.items():
        for field in fields(options):
            if field.name in ("name", "limits"):
                continue
            name = f"QUEUES.{queue}.{field.name}"
            yield Setting(name, _value(name, getattr(options, field.name)), found.source(name))
        for limit, value in options.limits.items():
            name = f"QUEUES.{queue}.limits.{limit}"
            yield Setting(name, value, found.source(name))
    for queue, policy in found.retry_policies.items():
        name = f"RETRY_POLICIES.{queue}"
        yield Setting(name, _value(name, policy), found.source(name))
    for resource, limits in found.resources.items():
        for limit, value in limits.items():
            name = f"RESOURCES.{resource}.{limit}"
            yield Setting(name, _value(name, value), found.source(name))


def _celery(app: Celery) -> Iterator[Setting]:
    for name in CELERY:
        yield Setting(
            f"CELERY.{name}", _value(name, getattr(app.conf, name, None)), _celery_source(app, name)
        )


def _celery_source(app: Celery, name: str) -> str:
    from celery.app.defaults import _TO_OLD_KEY, DEFAULTS

    variable = _FROM_ENVIRONMENT.get(name)
    if variable and os.environ.get(variable):
        return f"environment {variable}"
    *project, lowest = app.conf.maps
    keys = {name, _TO_OLD_KEY.get(name, name)}
    if any(key in one for one in project for key in keys):
        return "settings of Celery"
    if name == "broker_url" and config().broker_url:
        return config().source("BROKER_URL")
    return "default" if lowest.get(name) == DEFAULTS.get(name) else "queueops"


def _value(name: str, value: Any) -> Any:
    """The value in JSON's types, without secrets."""
    if is_masked(name) and not name.endswith("MASK_KEYS") and value:
        return MASK
    return mask(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return mask_text(_ADDRESS.sub(lambda found: f"{found['scheme']}{MASK}@", value))
    if isinstance(value, timedelta):
        return value.total_seconds()
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {
            str(key): _webhook(item) if key == "webhook" and isinstance(item, str) else _plain(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else _plain(str(value))


def _webhook(address: str) -> str:
    found = _WEBHOOK.fullmatch(address)
    return _plain(f"{found['origin']}/{MASK}" if found else address)  # type: ignore[no-any-return]
