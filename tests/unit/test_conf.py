"""Settings: what may be written, where a value came from, and when it is read."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Mapping
from typing import Any

import pytest

from queueops.conf import Config, load
from queueops.engine.rules.backoff import RetryPolicy
from queueops.errors import ConfigurationError
from tests.support.worker import environment


def loaded(settings: Mapping[str, Any] | None = None, **env: str) -> Config:
    return load(settings, None, env)


def test_without_settings_the_three_urgencies_exist() -> None:
    found = loaded()
    assert {name: queue.weight for name, queue in found.queues.items()} == {
        "critical": 10,
        "standard": 5,
        "bulk": 1,
    }
    assert (found.default_queue, found.default_org) == ("standard", "default")
    assert all(not queue.limits for queue in found.queues.values()), "nobody is limited by default"
    assert all(queue.run_limit == 300 for queue in found.queues.values())
    assert (found.max_payload_bytes, found.delivery_limit, found.concurrency) == (262_144, 3, 10)


def test_a_project_adds_queues_and_may_take_one_away() -> None:
    found = loaded({"QUEUES": {"webhooks": {"concurrency": 4}, "bulk": None}})
    assert set(found.queues) == {"critical", "standard", "webhooks"}
    assert found.queues["webhooks"].weight == 5
    assert found.queues["webhooks"].concurrency == 4
    assert found.queue("elsewhere").weight == 5


def test_the_default_queue_cannot_be_taken_away() -> None:
    with pytest.raises(ConfigurationError, match="DEFAULT_QUEUE"):
        loaded({"QUEUES": {"standard": None}})
    assert "mine" in loaded({"DEFAULT_QUEUE": "mine"}).queues


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"QEUES": {}}, r"QUEUEOPS\[\"QEUES\"\] is not a setting. The nearest one is 'QUEUES'"),
        ({"QUEUES": {"a": {"wieght": 1}}}, r"\[\"wieght\"\] is not a setting. The nearest one is 'weight'"),
        (
            {"QUEUES": {"a": {"limits": {"rmp": 1}}}},
            r"\[\"rmp\"\] is not a setting. The nearest one is 'rpm'",
        ),
        ({"QUEUES": {"a": 3}}, "must be a dict"),
        ({"QUEUES": {"a": {"limits": 3}}}, "must be a dict"),
        ({"QUEUES": {"a b": {}}}, "a name of 1 to 128"),
        ({"QUEUES": {"a": {"weight": 0}}}, "above 0"),
        ({"QUEUES": {"a": {"fair_by": "luck"}}}, "one of 'time', 'count'"),
        ({"QUEUES": {"a": {"patience_ms": {11: 1}}}}, "priority 0..10"),
        ({"LEASE_SECONDS": "long"}, "a number of at least 1"),
        ({"LEASE_SECONDS": 10, "HEARTBEAT_SECONDS": 6}, "at most half"),
        ({"PREFETCH": "many"}, '"auto" or a whole number'),
        ({"MAX_JOBS": -1}, "at least 0"),
        ({"MAX_PAYLOAD_BYTES": True}, "at least 1"),
        ({"ALLOW_PRIVATE_ADDRESSES": 2}, "True or False"),
        ({"MIDDLEWARE": 3}, "a list of strings"),
        ({"ROUTES": {"a.*": 3}}, "a dict of"),
        ({"DEFAULT_ORG": "a:b"}, "a name of 1 to 128"),
        ({"RETRY_POLICIES": {"bulk": {"base": 3}}}, "has no field 'base'"),
    ],
)
def test_a_mistake_is_named_with_its_place(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        loaded(settings)


def test_the_environment_wins_and_source_says_so() -> None:
    found = loaded(
        {"LEASE_SECONDS": 40, "PREFETCH": 5},
        QUEUEOPS_LEASE_SECONDS="60",
        WORKER_CONCURRENCY="4",
        QUEUES="critical, webhooks",
        REDIS_URL="redis://server:6379/1",
        QUEUEOPS_MAX_JOBS="100",
    )
    assert (found.lease_seconds, found.prefetch, found.concurrency, found.max_jobs) == (60, 5, 4, 100)
    assert found.serve == ("critical", "webhooks")
    assert found.broker_url == "queueops://server:6379/1"
    assert found.source("LEASE_SECONDS") == "environment QUEUEOPS_LEASE_SECONDS"
    assert found.source("PREFETCH") == "settings QUEUEOPS"
    assert found.source("DELIVERY_LIMIT") == "default"


def test_the_first_of_two_names_wins() -> None:
    found = loaded(QUEUEOPS_BROKER_URL="queueopss://tls:1/0", REDIS_URL="redis://other/0")
    assert found.broker_url == "queueopss://tls:1/0"
    assert loaded(QUEUEOPS_CONCURRENCY="3", WORKER_CONCURRENCY="9").concurrency == 3


def test_operators_limit_tenants_by_the_names_they_know() -> None:
    found = loaded(
        {"QUEUES": {"standard": {"limits": {"rpm": 10, "share": 0.5}}, "web-hooks": {}}},
        QUEUE_TENANT_RPM_STANDARD="600",
        QUEUE_TENANT_BURST_STANDARD="20",
        QUEUE_TENANT_MAX_IN_FLIGHT_BULK="3",
        QUEUE_TENANT_RPM_WEB_HOOKS="7",
    )
    assert found.queues["standard"].limits == {"rpm": 600, "burst": 20, "share": 0.5}
    assert found.queues["bulk"].limits == {"max_in_flight": 3}
    assert found.queues["web-hooks"].limits == {"rpm": 7}
    assert found.source("QUEUES.standard.limits.rpm") == "environment QUEUE_TENANT_RPM_STANDARD"
    assert found.source("QUEUES.standard.limits.share") == "settings QUEUEOPS"
    with pytest.raises(ConfigurationError, match="Environment QUEUE_TENANT_RPM_STANDARD"):
        loaded(QUEUE_TENANT_RPM_STANDARD="fast")


def test_retry_policies_come_from_both_settings_and_ours_wins() -> None:
    project = {"standard": {"base_seconds": 1}, "webhooks": {"attempts": 9}}
    found = load({"RETRY_POLICIES": {"standard": {"base_seconds": 2}}}, project, {})
    assert found.retry_policy("standard") == RetryPolicy(2, 3600)
    assert found.retry_policy("webhooks") == RetryPolicy(2, 3600, attempts=9)
    assert found.retry_policy("anything else") == found.retry_policy("standard")
    assert found.source("RETRY_POLICIES.webhooks") == "settings JOB_RETRY_POLICIES"


def test_settings_are_read_late_and_overrides_are_seen() -> None:
    # In a process of its own: Django is configured once for all of a process.
    code = """
        from queueops import conf
        without = conf.config()
        from django.conf import settings
        from django.test import override_settings
        settings.configure(QUEUEOPS={"DEFAULT_ORG": "one"})
        assert conf.config().default_org == "one" and without.default_org == "default"
        assert conf.config() is conf.config()
        with override_settings(QUEUEOPS={"DEFAULT_ORG": "two"}):
            assert conf.config().default_org == "two"
        one = conf.config()
        assert one.default_org == "one"
        with override_settings(TIME_ZONE="UTC"):
            assert conf.config() is one, "an override of something else"
        with override_settings(JOB_RETRY_POLICIES={"bulk": {"attempts": 7}}):
            assert conf.config().retry_policy("bulk").attempts == 7
        settings.QUEUEOPS = {"DEFAULT_ORG": "three"}
        assert conf.config().default_org == "three"
        print("all held")
    """
    run = [sys.executable, "-c", textwrap.dedent(code)]
    shown = subprocess.run(run, capture_output=True, text=True, env=environment({}), check=False)
    assert shown.stdout.strip() == "all held", shown.stderr


def test_links_lead_to_pages_and_empty_ones_nowhere() -> None:
    found = load({"LINKS": {"Grafana": "https://grafana.example.com/d/x", "Flower": ""}}, None, {})
    assert dict(found.links) == {"Grafana": "https://grafana.example.com/d/x"}
    for address in ("javascript:alert(1)", "//example.com", "grafana"):
        with pytest.raises(ConfigurationError, match="LINKS"):
            load({"LINKS": {"Grafana": address}}, None, {})


def test_the_token_of_the_metrics_is_not_shown() -> None:
    found = load({}, None, {"QUEUEOPS_METRICS_TOKEN": "s3cret"})
    assert found.metrics_token == "s3cret"
    assert "s3cret" not in repr(found)
