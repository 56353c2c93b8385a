"""Three minutes of the storm."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.worker import ROOT, environment


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_three_minutes_of_faults_lose_nothing() -> None:
    command = [sys.executable, "-m", "tests.soak", "--minutes", "3", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment({}), capture_output=True, text=True)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert done.returncode == 0, json.dumps(found, indent=1)
    assert found["ok"]
    assert found["counts"]["enqueued"] > 500
    assert found["counts"]["lost"] == 0
