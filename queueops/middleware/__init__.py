"""What queueops does on the Celery side. `install` puts it into an app."""

from __future__ import annotations

from typing import Any

from celery import Celery

from queueops.conf import config

__all__ = ["install"]


def install(app: Celery) -> Celery:
    """Make `app` publish to and work from queueops; call it right after the app was made and configured.

    Args:
        app: a Celery app. Its settings are not read here, so a Django project may call this while its
            settings module is still being imported.

    Returns:
        The same app.
    """
    from queueops import transport
    from queueops.middleware import json_log, publish, run, worker
    from queueops.middleware.run_limit import RunLimits

    transport.register()
    app.amqp_cls = "queueops.middleware.publish:AMQP"
    # The app may have made its AMQP already, for instance to look at its queues.
    app.__dict__.pop("amqp", None)
    publish.answer_refusals(app)
    app.control_cls = "queueops.middleware.control:Control"
    app.__dict__.pop("control", None)
    app.on_after_configure.connect(_put_defaults, sender=app, weak=False, dispatch_uid="queueops")
    if app.configured:
        _put_defaults(app, app.conf)
    run.install(app)
    app.steps["consumer"].add(RunLimits)
    worker.install(app)
    json_log.connect()
    return app


def _put_defaults(sender: Celery, source: Any, **_: Any) -> None:
    # Celery's own defaults are the last map of the settings. `add_defaults` would put ours above what the
    # project's settings module says; replacing them in place leaves every choice of the project alone.
    from celery.app.defaults import _TO_OLD_KEY

    lowest = source.maps[-1]
    for key, value in _defaults().items():
        lowest[key] = value
        if key in _TO_OLD_KEY:
            lowest[_TO_OLD_KEY[key]] = value


def _defaults() -> dict[str, Any]:
    settings = config()
    defaults = {
        "task_default_queue": settings.default_queue,
        "task_create_missing_queues": False,
        # A lost worker must not lose the job; the broker counts deliveries, so a poison job ends.
        "task_acks_late": True,
        # What a worker holds beyond its free slots is decided by the transport, see `prefetch`.
        "worker_prefetch_multiplier": 1,
        "worker_concurrency": settings.concurrency,
        # Rates are kept in the broker for all workers together.
        "worker_disable_rate_limits": True,
        # A connection lost during work ends nothing: leases live in the broker.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_retry": True,
        # Each try costs a second or two when nobody answers; the caller hears of it within five.
        "task_publish_retry_policy": {
            "max_retries": 2,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.5,
        },
    }
    if settings.broker_url:
        defaults["broker_url"] = settings.broker_url
    return defaults
