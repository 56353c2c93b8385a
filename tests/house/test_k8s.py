"""The manifests for Kubernetes name what exists: queues, the depth list, metrics, each other."""

from __future__ import annotations

import re
from typing import Any

import pytest

from queueops.engine.keys import Keys
from queueops.metrics.families import FAMILIES

from .support import ROOT

yaml = pytest.importorskip("yaml")

FOLDER = ROOT / "deploy" / "k8s"
PROCFILE = (ROOT / "Procfile").read_text()


def documents(name: str) -> dict[str, dict[str, Any]]:
    """The objects of a file, by name."""
    found = [one for one in yaml.safe_load_all((FOLDER / name).read_text()) if one]
    return {one["metadata"]["name"]: one for one in found}


def test_each_worker_of_the_procfile_has_a_deployment() -> None:
    wanted = dict(re.findall(r"^(\w+): celery -A config worker -Q (\S+)", PROCFILE, re.MULTILINE))
    deployed = documents("workers.yaml")
    served = {}
    for name, one in deployed.items():
        template = one["spec"]["template"]
        labels = one["spec"]["selector"]["matchLabels"]
        assert template["metadata"]["labels"] == labels == one["metadata"]["labels"]
        [container] = template["spec"]["containers"]
        command = container["command"]
        assert command[:4] == ["celery", "-A", "config", "worker"]
        served[name.removeprefix("worker-")] = command[command.index("-Q") + 1]
        assert container["resources"] == {
            "requests": {"cpu": "500m", "memory": "512Mi"},
            "limits": {"cpu": "2000m", "memory": "2Gi"},
        }
        # The default run limit, and time to settle.
        assert template["spec"]["terminationGracePeriodSeconds"] > 300
        assert one["spec"]["replicas"] >= 2
    assert served == wanted


def test_keda_counts_the_depth_list_of_the_queue_that_the_deployment_serves() -> None:
    deployed = documents("workers.yaml")
    scaled = documents("keda.yaml")
    assert scaled
    for name, one in scaled.items():
        assert one["spec"]["scaleTargetRef"] == {"name": name}
        assert name in deployed
        queue = deployed[name]["metadata"]["labels"]["queue"]
        [trigger] = one["spec"]["triggers"]
        assert trigger["type"] == "redis"
        assert trigger["metadata"]["listName"] == Keys()("depth", queue=queue)
        assert int(trigger["metadata"]["listLength"]) > 0
        assert 0 < one["spec"]["minReplicaCount"] < one["spec"]["maxReplicaCount"]


def test_the_autoscaler_of_kubernetes_reads_a_metric_that_there_is() -> None:
    deployed = documents("workers.yaml")
    for name, one in documents("hpa.yaml").items():
        assert one["spec"]["scaleTargetRef"]["name"] == name
        assert (one["spec"]["minReplicas"], one["spec"]["maxReplicas"]) == (2, 20)
        [metric] = one["spec"]["metrics"]
        read = metric["external"]["metric"]
        assert set(FAMILIES[read["name"]].labels) == set(read["selector"]["matchLabels"])
        assert read["selector"]["matchLabels"] == {
            "queue": deployed[name]["metadata"]["labels"]["queue"],
            "state": "ready",
        }
