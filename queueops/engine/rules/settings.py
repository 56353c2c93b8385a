"""The settings of queueops: their names, types and defaults, and how they are checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any, Literal

from queueops.engine.rules import health, values
from queueops.engine.rules.alerts import AlertSettings, alert_settings
from queueops.engine.rules.backoff import DEFAULT_POLICIES, RetryPolicy, policy_from
from queueops.engine.rules.resources import resource_settings
from queueops.engine.rules.scaling import SHIPPED, ScaleRule, rule_from
from queueops.engine.rules.values import parsed as _parsed
from queueops.engine.rules.values import refuse_unknown as _refuse_unknown
from queueops.errors import ConfigurationError

__all__ = ["MIDDLEWARE", "Config", "QueueConfig", "load"]

_WEIGHTS = {"critical": 10.0, "standard": 5.0, "bulk": 1.0}
_LIMITS = ("weight", "rpm", "burst", "max_in_flight", "share")
_TENANT = {
    "rpm": "QUEUE_TENANT_RPM_",
    "burst": "QUEUE_TENANT_BURST_",
    "max_in_flight": "QUEUE_TENANT_MAX_IN_FLIGHT_",
}


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """One entry of QUEUEOPS["QUEUES"].

    Attributes:
        weight: turns this queue gets beside the others of a worker that serves several.
        concurrency: jobs of this queue that run at once on all workers together; None is unlimited.
        fair_by: "time" shares worker time among the orgs, "count" shares the number of jobs.
        patience_ms: milliseconds by priority, where the queue ages its jobs in its own way.
        limits: the limits (weight, rpm, burst, max_in_flight, share) of every org that has no own row.
        deadline_policy: a job whose turn comes after its deadline is "run", or "expire"s: a dead letter.
        run_limit: seconds an attempt may run where its task sets no time limit; None is unlimited.
        max_ready, max_ready_per_org: ready jobs of the queue, and of one org in it, from which on new jobs
            are refused; None is unlimited.
        health: by signal (see `queueops.ops.health`), from which value on the queue is degraded, and above
            which it is unhealthy.
        autoscale: how many slots the queue wants by its backlog, for workers with an autoscaler.
    """

    name: str
    weight: float = 5.0
    concurrency: int | None = None
    fair_by: Literal["time", "count"] = "time"
    patience_ms: Mapping[int, int] | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    run_limit: float | None = 300.0
    deadline_policy: Literal["run", "expire"] = "run"
    max_ready: int | None = None
    max_ready_per_org: int | None = None
    health: Mapping[str, tuple[float, float]] = field(default_factory=lambda: health.DEFAULTS)
    autoscale: ScaleRule = SHIPPED


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, checked: the keys of QUEUEOPS in lower case, durations in the unit they name."""

    queues: Mapping[str, QueueConfig]
    retry_policies: Mapping[str, RetryPolicy]
    resources: Mapping[str, Mapping[str, Any]]
    routes: Mapping[str, str]
    default_queue: str
    default_org: str
    middleware: tuple[str, ...]
    org_from_request: str | None
    max_payload_bytes: int
    delivery_limit: int
    lease_seconds: float
    heartbeat_seconds: float
    prefetch: Literal["auto"] | int
    max_jobs: int
    concurrency: int
    dead_letter_retention_days: int
    audit_retention_days: int | None
    mask_keys: tuple[str, ...]
    allow_private_addresses: bool
    offload_storage: str
    api_rate: float | None
    api_burst: int
    broker_url: str | None
    serve: tuple[str, ...]
    log: str
    tracing: bool
    event_streams: int
    alerts: AlertSettings
    links: Mapping[str, str]
    metrics_token: str | None = field(repr=False)
    sources: Mapping[str, str] = field(repr=False)

    def queue(self, name: str) -> QueueConfig:
        """Return the settings of the queue, or the defaults for a queue that was declared elsewhere."""
        return self.queues.get(name) or QueueConfig(name)

    def retry_policy(self, queue: str) -> RetryPolicy:
        """Return the queue's retry policy; a queue without one has that of `standard`."""
        return self.retry_policies.get(queue) or self.retry_policies["standard"]

    def source(self, name: str) -> str:
        """Say where a value came from, as "default", "settings QUEUEOPS" or "environment NAME".

        Args:
            name: a settings key such as "LEASE_SECONDS", or "QUEUES.standard.limits.rpm".
        """
        return self.sources.get(name, "default")


#: The built-in members, in their order. A project that sets MIDDLEWARE lists all it wants, as in Django.
MIDDLEWARE = (
    "queueops.middleware.org.Org",
    "queueops.middleware.unique.Unique",
    "queueops.middleware.depends.Depends",
    "queueops.middleware.fairness.Fairness",
    "queueops.middleware.rate_limit.RateLimit",
    "queueops.middleware.deadline.Deadline",
    "queueops.middleware.retry.Retry",
    "queueops.middleware.offload.Offload",
    "queueops.middleware.log.Log",
)

#: key -> (default, parse, environment names: the first that is set wins).
_SETTINGS: Mapping[str, tuple[Any, Callable[[Any], Any], tuple[str, ...]]] = {
    "ROUTES": ({}, values.routes, ()),
    "DEFAULT_QUEUE": ("standard", values.name, ()),
    "DEFAULT_ORG": ("default", values.name, ()),
    "MIDDLEWARE": (MIDDLEWARE, values.strings, ()),
    "ORG_FROM_REQUEST": (None, values.optional(values.text), ()),
    "MAX_PAYLOAD_BYTES": (262_144, values.whole(1), ()),
    "DELIVERY_LIMIT": (3, values.whole(1), ()),
    "LEASE_SECONDS": (30.0, values.number(1, equal=True), ("QUEUEOPS_LEASE_SECONDS",)),
    "HEARTBEAT_SECONDS": (10.0, values.number(0), ("QUEUEOPS_HEARTBEAT_SECONDS",)),
    "PREFETCH": ("auto", values.prefetch, ("QUEUEOPS_PREFETCH",)),
    "MAX_JOBS": (0, values.whole(0), ("QUEUEOPS_MAX_JOBS",)),
    "CONCURRENCY": (10, values.whole(1), ("QUEUEOPS_CONCURRENCY", "WORKER_CONCURRENCY")),
    "DEAD_LETTER_RETENTION_DAYS": (30, values.whole(0), ()),
    "AUDIT_RETENTION_DAYS": (365, values.optional(values.whole(1)), ()),
    "MASK_KEYS": (
        ("password", "passwd", "secret", "token", "authorization", "api[_-]?key", "signature"),
        values.strings,
        (),
    ),
    "ALLOW_PRIVATE_ADDRESSES": (False, values.flag, ()),
    "OFFLOAD_STORAGE": ("default", values.text, ()),
    "API_RATE": (600.0, values.optional(values.per_minute), ("QUEUEOPS_API_RATE",)),
    "API_BURST": (100, values.whole(1), ("QUEUEOPS_API_BURST",)),
    "BROKER_URL": (None, values.optional(values.url), ("QUEUEOPS_BROKER_URL", "REDIS_URL")),
    "SERVE": ((), values.strings, ("QUEUES",)),
    "LOG": ("text", values.choice("text", "json"), ("QUEUEOPS_LOG",)),
    "TRACING": (None, values.optional(values.flag), ("QUEUEOPS_TRACING",)),
    "EVENT_STREAMS": (100, values.whole(1), ()),
    "ALERTS": (AlertSettings(), alert_settings, ()),
    # Other pages that operators use, by the name that a link to it bears: Flower, Grafana.
    "LINKS": ({}, values.links, ()),
    "METRICS_TOKEN": (None, values.optional(values.text), ("QUEUEOPS_METRICS_TOKEN",)),
}

_TRACED = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

#: key of a queue's dict -> parse.
_QUEUE_KEYS: Mapping[str, Callable[[Any], Any]] = {
    "weight": values.number(0),
    "concurrency": values.optional(values.whole(0)),
    "fair_by": values.choice("time", "count"),
    "patience_ms": values.optional(values.patience),
    "limits": values.mapping,
    "run_limit": values.optional(values.number(0)),
    "deadline_policy": values.choice("run", "expire"),
    "max_ready": values.optional(values.whole(0)),
    "max_ready_per_org": values.optional(values.whole(0)),
    "health": health.thresholds,
    "autoscale": rule_from,
}

_LIMIT_KEYS: Mapping[str, Callable[[Any], Any]] = {
    "weight": values.number(0),
    "rpm": values.number(0, equal=True),
    "burst": values.whole(1),
    "max_in_flight": values.whole(0),
    "share": values.number(0),
}


def load(
    settings: Mapping[str, Any] | None, policies: Mapping[str, Any] | None, env: Mapping[str, str]
) -> Config:
    """Build the configuration from a QUEUEOPS dict, a JOB_RETRY_POLICIES dict and the environment.

    Raises:
        ConfigurationError: an unknown key (the nearest known one is named) or a value that is not allowed.
    """
    settings = settings or {}
    _refuse_unknown(settings, (*_SETTINGS, "QUEUES", "RESOURCES", "RETRY_POLICIES"), 'QUEUEOPS["{}"]')
    sources: dict[str, str] = {}
    parsed: dict[str, Any] = {}
    for key, (default, parse, names) in _SETTINGS.items():
        value = default
        if key in settings:
            value = _parsed(f'QUEUEOPS["{key}"]', parse, settings[key])
            sources[key] = "settings QUEUEOPS"
        variable = next((name for name in names if env.get(name)), None)
        if variable:
            value = _parsed(f"Environment {variable}", parse, env[variable])
            sources[key] = f"environment {variable}"
        parsed[key.lower()] = value
    if parsed["tracing"] is None:
        parsed["tracing"] = _is_traced(env)
    queues = _queues(settings.get("QUEUES") or {}, parsed["default_queue"], env, sources)
    if "QUEUES" in settings:
        sources["QUEUES"] = "settings QUEUEOPS"
    if parsed["heartbeat_seconds"] * 2 > parsed["lease_seconds"]:
        raise ConfigurationError(
            f"HEARTBEAT_SECONDS ({parsed['heartbeat_seconds']:g}) must be at most half of LEASE_SECONDS "
            f"({parsed['lease_seconds']:g}): a lease has to survive one lost renewal."
        )
    return Config(
        queues=MappingProxyType(queues),
        retry_policies=_policies(policies or {}, settings.get("RETRY_POLICIES") or {}, sources),
        resources=resource_settings(settings.get("RESOURCES") or {}, sources),
        sources=MappingProxyType(sources),
        **parsed,
    )


def _is_traced(env: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry is told by its own environment to send spans somewhere, and is installed."""
    if env.get("OTEL_SDK_DISABLED", "").lower() == "true" or env.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    return any(env.get(name) for name in _TRACED) and find_spec("opentelemetry") is not None


def _queues(
    given: Mapping[str, Any], default: str, env: Mapping[str, str], sources: dict[str, str]
) -> dict[str, QueueConfig]:
    # The three urgencies exist in every project; an entry of None takes one away.
    wanted: dict[str, Any] = {name: {} for name in (*_WEIGHTS, default)} | dict(given)
    queues: dict[str, QueueConfig] = {}
    for name, entry in wanted.items():
        if entry is None:
            continue
        where = f'QUEUEOPS["QUEUES"]["{name}"]'
        _parsed(where, values.name, name)
        _refuse_unknown(entry, tuple(_QUEUE_KEYS), where + '["{}"]')
        options = {key: _parsed(f'{where}["{key}"]', _QUEUE_KEYS[key], value) for key, value in entry.items()}
        options.setdefault("weight", _WEIGHTS.get(name, 5.0))
        sources.update((f"QUEUES.{name}.{key}", "settings QUEUEOPS") for key in entry)
        options["limits"] = _limits(name, where, options.get("limits", {}), env, sources)
        queues[name] = QueueConfig(name=name, **options)
    if default not in queues:
        raise ConfigurationError(f'DEFAULT_QUEUE is "{default}", but QUEUES takes that queue away.')
    return queues


def _limits(
    queue: str, where: str, given: Mapping[str, Any], env: Mapping[str, str], sources: dict[str, str]
) -> Mapping[str, float]:
    _refuse_unknown(given, _LIMITS, where + '["limits"]["{}"]')
    limits = {
        key: _parsed(f'{where}["limits"]["{key}"]', _LIMIT_KEYS[key], value)
        for key, value in given.items()
        if value is not None
    }
    sources.update((f"QUEUES.{queue}.limits.{key}", "settings QUEUEOPS") for key in limits)
    suffix = re.sub(r"[^A-Za-z0-9]", "_", queue).upper()
    for key, prefix in _TENANT.items():
        if value := env.get(prefix + suffix):
            limits[key] = _parsed(f"Environment {prefix}{suffix}", _LIMIT_KEYS[key], value)
            sources[f"QUEUES.{queue}.limits.{key}"] = f"environment {prefix}{suffix}"
    return MappingProxyType(limits)


def _policies(
    project: Mapping[str, Any], own: Mapping[str, Any], sources: dict[str, str]
) -> Mapping[str, RetryPolicy]:
    policies = dict(DEFAULT_POLICIES)
    # `standard` first: a queue without a policy of its own builds on what the project made of that one.
    for queue in dict.fromkeys(("standard", *project, *own)):
        for origin, given in (("settings JOB_RETRY_POLICIES", project), ("settings QUEUEOPS", own)):
            if queue in given:
                policies[queue] = policy_from(given[queue], policies.get(queue) or policies["standard"])
                sources[f"RETRY_POLICIES.{queue}"] = origin
    return MappingProxyType(policies)
