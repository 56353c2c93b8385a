"""A real Prometheus: the package of Debian where it is installed, or where `make test-all` unpacked it."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.polling import eventually
from tests.support.ports import HOST, free_port

from .promql import ROOT

UNPACKED = ROOT / "var" / "tools" / "prometheus" / "usr" / "bin"


def program(name: str) -> str:
    """Where a program of the package is; skips the test where it is not."""
    found = shutil.which(name) or shutil.which(name, path=str(UNPACKED))
    if found is None:
        pytest.skip(f"{name} is not there: apt-get install prometheus, or make test-all")
    return found


class Prometheus:
    """One server, with our rules, that scrapes one address each second."""

    def __init__(self, folder: Path, target: str) -> None:
        self.port = free_port()
        self.log = folder / "prometheus.log"
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(ROOT / "deploy" / "prometheus" / "rules" / "*.yml")],
            "scrape_configs": [{"job_name": "queueops", "static_configs": [{"targets": [target]}]}],
        }
        file = folder / "prometheus.json"  # JSON is YAML
        file.write_text(json.dumps(config))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    program("prometheus"),
                    f"--config.file={file}",
                    f"--storage.tsdb.path={folder / 'tsdb'}",
                    f"--web.listen-address={HOST}:{self.port}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
            )

    def wait_ready(self) -> Prometheus:
        """Return when it answers."""
        eventually(lambda: self._get("/-/ready"), within=60, what="a Prometheus that is ready")
        return self

    def query(self, expression: str) -> list[Any]:
        """What an instant query finds; an expression that is refused fails the test."""
        text = self._get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        answer = json.loads(text)
        assert answer["status"] == "success", (expression, answer)
        found: list[Any] = answer["data"]["result"]
        return found

    def _get(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=30) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            assert error.code == 503, (path, error.read())
            return ""
        except OSError:
            assert self.process.poll() is None, self.log.read_text()
            return ""

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=10)
