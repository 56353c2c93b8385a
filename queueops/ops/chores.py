"""Wiring: what the workers do for the database, and what a saved row sets off."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery.signals import worker_init
from django.db import transaction
from django.db.models.signals import post_delete, post_save

from queueops.engine.store import Store
from queueops.middleware import resources
from queueops.models import OrgLimit, Resource
from queueops.ops import alert_watch, alerts, panic, publishing, resource_limits
from queueops.ops.cleanup import chore as clean
from queueops.ops.collector import collect_all
from queueops.ops.connections import released
from queueops.ops.payloads import sweep
from queueops.ops.relay import relay_all

__all__ = ["register"]

COLLECT_SECONDS = 1.0
EXPIRE_SECONDS = 5.0
RECONCILE_SECONDS = 30.0
WATCH_SECONDS = 5.0
RELAY_SECONDS = 1.0
SWEEP_SECONDS = 600.0
CLEAN_SECONDS = 10.0


def register() -> None:
    """Have a saved limit published, and a worker that starts in this process do the chores."""
    post_save.connect(_publish, sender=OrgLimit, dispatch_uid="queueops.limits.saved")
    post_delete.connect(_publish, sender=OrgLimit, dispatch_uid="queueops.limits.deleted")
    post_save.connect(_publish_resource, sender=Resource, dispatch_uid="queueops.resources.saved")
    post_delete.connect(_publish_resource, sender=Resource, dispatch_uid="queueops.resources.deleted")
    # What a worker publishes when it starts knows of the rows too.
    resources.use(resource_limits.wanted)
    worker_init.connect(_give_chores, weak=False, dispatch_uid="queueops.chores")
    alert_watch.register()


def _give_chores(**_: Any) -> None:
    # Only a worker needs the worker's modules; web processes and commands start without them.
    from queueops.middleware.worker import chores

    chores.register("dead_letters", COLLECT_SECONDS, collect_all)
    chores.register("limits.expire", EXPIRE_SECONDS, expire)
    chores.register("limits.reconcile", RECONCILE_SECONDS, reconcile)
    chores.register("resources.reconcile", RECONCILE_SECONDS, reconcile_resources)
    chores.register("panic.watch", WATCH_SECONDS, watch)
    chores.register("outbox", RELAY_SECONDS, relay_all)
    chores.register("payloads", SWEEP_SECONDS, sweep)
    chores.register("cleanup", CLEAN_SECONDS, clean)
    chores.register(alerts.LOCK, alerts.SECONDS, alerts.chore)


def expire(store: Store) -> None:
    """Delete temporary limits whose time is over."""
    with released():
        publishing.expire(store)


def reconcile(store: Store) -> None:
    """Make the broker hold what the rows say."""
    with released():
        publishing.reconcile(store)


def reconcile_resources(store: Store) -> None:
    """Make the broker hold the limits of resources."""
    with released():
        resource_limits.reconcile(store)


def watch(store: Store) -> None:
    """Note in the audit log which breakers have opened by themselves."""
    with released():
        panic.watch(store)


def _publish(instance: OrgLimit, raw: bool = False, using: str | None = None, **_: Any) -> None:
    if raw:  # a fixture that is being loaded; the chore publishes it as a whole
        return
    transaction.on_commit(partial(publishing.publish_soon, [instance.org]), using=using)


def _publish_resource(instance: Resource, raw: bool = False, using: str | None = None, **_: Any) -> None:
    if raw:
        return
    transaction.on_commit(partial(resource_limits.publish_soon, [instance.name]), using=using)
