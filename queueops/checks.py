"""System checks: what `manage.py check` says of the settings, each with its id and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from queueops.errors import BrokerUnavailable, ConfigurationError, LimitInvalid, PublishError

__all__ = ["check_beat", "check_broker", "check_celery", "check_database", "check_settings", "check_tasks"]


@register("queueops")
def check_settings(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Errors of the QUEUEOPS setting, and combinations in it that do not do what they look like."""
    from queueops.conf import config
    from queueops.engine.rules.gates import Limits
    from queueops.middleware.chain import chain

    try:
        found = config()
    except ConfigurationError as error:
        return [
            Error(
                str(error), hint="Mend the setting QUEUEOPS or the environment variable.", id="queueops.E001"
            )
        ]
    messages: list[CheckMessage] = []
    try:
        members = chain().members
    except ConfigurationError as error:
        hint = 'QUEUEOPS["MIDDLEWARE"] lists dotted paths of classes derived from queueops.Middleware.'
        messages.append(Error(str(error), hint=hint, id="queueops.E002"))
    else:
        messages += _limits_without_member({type(member).__name__ for member in members})
    for key in found.mask_keys:
        try:
            re.compile(key)
        except re.error as error:
            told = f'QUEUEOPS["MASK_KEYS"] has {key!r}, which is no regular expression: {error}.'
            messages.append(
                Error(told, hint="Write a name, or escape its special characters.", id="queueops.E003")
            )
    for name, queue in found.queues.items():
        try:
            # A burst is looked at beside some rate; that it has none of its own is W001.
            Limits(**{"rpm": 60.0, **queue.limits})  # type: ignore[arg-type]
        except LimitInvalid as error:
            told = f"The limits of queue {name} are refused by the broker: {error}."
            messages.append(Error(told, hint='Mend "limits" in QUEUEOPS["QUEUES"].', id="queueops.E005"))
        if "burst" in queue.limits and "rpm" not in queue.limits:
            told = f"Queue {name} has a burst and no rate, so the burst does nothing."
            messages.append(Warning(told, hint='Set "rpm" beside it, or take it away.', id="queueops.W001"))
    return messages


def _limits_without_member(members: set[str]) -> Iterable[CheckMessage]:
    from queueops.conf import config

    needed = dict.fromkeys(("weight", "max_in_flight", "share", "max_ready", "max_ready_per_org"), "Fairness")
    needed["rpm"] = "RateLimit"
    for name, queue in config().queues.items():
        backlog = {key: getattr(queue, key) for key in ("max_ready", "max_ready_per_org")}
        for field in sorted({*queue.limits, *(key for key, value in backlog.items() if value is not None)}):
            member = needed.get(field)
            if member and member not in members:
                module = {"Fairness": "fairness", "RateLimit": "rate_limit"}[member]
                yield Warning(
                    f"Queue {name} limits {field}, but the middleware that publishes it is not in the chain.",
                    hint=f'Add "queueops.middleware.{module}.{member}" to QUEUEOPS["MIDDLEWARE"].',
                    id="queueops.W002",
                )


@register("queueops")
def check_celery(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Celery's settings that work against queueops."""
    from celery import current_app

    messages: list[CheckMessage] = []
    scheme = str(current_app.conf.broker_url or "").partition("://")[0]
    if not scheme.startswith("queueops"):
        messages.append(
            Warning(
                f"The broker's address begins with {scheme or 'nothing'}://, so Celery's own transport works "
                "and no queue is shared fairly.",
                hint="Write queueops:// for redis:// (queueopss:// for rediss://) in CELERY_BROKER_URL.",
                id="queueops.W003",
            )
        )
    if current_app.conf.worker_disable_rate_limits is False:
        messages.append(
            Warning(
                "CELERY_WORKER_DISABLE_RATE_LIMITS is off: a task's rate_limit then holds for each worker by "
                "itself and keeps jobs in the worker's memory.",
                hint="Remove the setting; rates are kept in the broker for all workers together.",
                id="queueops.W004",
            )
        )
    return messages


_MEMBERS_HINT = (
    'Add "queueops.middleware.unique.Unique", "queueops.middleware.depends.Depends" or '
    '"queueops.middleware.offload.Offload" to QUEUEOPS["MIDDLEWARE"].'
)


@register("queueops")
def check_beat(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """A schedule in the database that every beat sends on its own."""
    from celery import current_app

    named = str(current_app.conf.beat_scheduler)
    if named != "django" and not named.replace(":", ".").endswith(".schedulers.DatabaseScheduler"):
        return []
    return [
        Warning(
            f"The scheduler of beat is {named}: two beats would send each entry twice.",
            hint='Set CELERY_BEAT_SCHEDULER = "queueops.ops.beat:Scheduler"; it uses the same rows.',
            id="queueops.W010",
        )
    ]


@register("queueops")
def check_tasks(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Options of tasks that cannot work, and those that do not do what they look like."""
    from celery import current_app

    from queueops.middleware.chain import chain
    from queueops.middleware.plan import TaskPlan
    from queueops.middleware.task_rates import task_rate

    messages: list[CheckMessage] = []
    try:
        unhandled = chain().unhandled
    except ConfigurationError:
        return []  # E001 or E002 says it
    # Those that are registered in this process. Importing the others is a worker's part, which Celery follows
    # by these very checks.
    for name, task in sorted(current_app.tasks.items()):
        try:
            plan = TaskPlan(current_app, name, task)
            rate = task_rate(task)
        except (ConfigurationError, PublishError) as error:
            messages.append(Error(str(error), hint="Mend the task's options.", id="queueops.E006"))
            continue
        if passed_over := sorted(name for name in unhandled if getattr(task, name, None)):
            told = f"Task {name} has {', '.join(passed_over)}, which no member of the chain handles."
            messages.append(Error(told, hint=_MEMBERS_HINT, id="queueops.E007"))
        if plan.ours and rate and getattr(task, "resource", None):
            messages.append(
                Warning(
                    f"Task {name} has a resource and a rate_limit: its jobs take the resource's limits, and "
                    "the rate_limit does nothing.",
                    hint='Give the rate to the resource: its row in admin, or QUEUEOPS["RESOURCES"].',
                    id="queueops.W008",
                )
            )
    return messages


@register("queueops")
def check_database(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """SQLite that fails instead of waiting when two processes write."""
    messages: list[CheckMessage] = []
    for alias, database in settings.DATABASES.items():
        mode = str((database.get("OPTIONS") or {}).get("transaction_mode") or "").upper()
        if database["ENGINE"].endswith("sqlite3") and mode not in ("IMMEDIATE", "EXCLUSIVE"):
            messages.append(
                Warning(
                    f"Database {alias} is SQLite with deferred transactions: workers and admin that write at "
                    'the same time fail with "database is locked".',
                    hint='Set OPTIONS = {"transaction_mode": "IMMEDIATE", "timeout": 20}.',
                    id="queueops.W005",
                )
            )
    return messages


# Only in `check --deploy`: a check that needs the broker must not keep `migrate` from running without it.
@register("queueops", deploy=True)
def check_broker(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """A broker that does not answer, or that may throw jobs away."""
    from queueops.ops import broker

    try:
        with broker.store() as store:
            policy = store.client.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
    except ConfigurationError:
        return []  # W003 says it
    except BrokerUnavailable as error:
        return [Warning(str(error), hint="Start it, or mend CELERY_BROKER_URL.", id="queueops.W006")]
    except Exception as error:  # hosts that forbid CONFIG
        told = f"The broker does not tell its maxmemory-policy: {error}"
        return [Warning(told, hint="Make sure that it is noeviction.", id="queueops.W007")]
    policy = policy.decode() if isinstance(policy, bytes) else policy
    if policy == "noeviction":
        return []
    return [
        Error(
            f"The broker's maxmemory-policy is {policy}: with its memory full it deletes jobs.",
            hint="Set maxmemory-policy noeviction; a full broker then refuses new jobs and keeps the others.",
            id="queueops.E004",
        )
    ]
