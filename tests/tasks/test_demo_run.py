"""`make demo` as a user runs it: its own broker, database, worker and receiver."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.polling import eventually
from tests.support.worker import ROOT, environment

COMMAND = [sys.executable, "manage.py", "webhooks_demo"]


def surroundings(folder: Path) -> dict[str, str]:
    """The environment of the command, whose temporary files go to ``folder``."""
    own = {"SECRET_KEY": "tests", "QUEUEOPS_VAR": str(folder), "TMPDIR": str(folder), "COLUMNS": "100"}
    return environment(own)


def processes(folder: Path) -> list[str]:
    """Command lines of the processes that have the demonstration's folder in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it ended meanwhile, or belongs to somebody else
    return found


# It takes a quarter of a minute; the rest is for machines on which much else runs.
@pytest.mark.timeout(300)
def test_the_demonstration_ends_by_itself_and_all_held(tmp_path: Path) -> None:
    done = subprocess.run(
        COMMAND, cwd=ROOT, env=surroundings(tmp_path), capture_output=True, text=True, timeout=240
    )

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "FAIL" not in done.stdout
    assert "329 sent, 329 arrived, 0 repeated" in done.stdout
    # org, sent, delivered, retried, dead, replayed: two retries each before three attempts are used up
    (ill,) = re.findall(r"^ *octo-org +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) ", done.stdout, re.MULTILINE)
    assert ill == ("19", "19", "38", "19", "19")
    (held,) = re.findall(r"^ *Octocoders +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) ", done.stdout, re.MULTILINE)
    assert held[:2] == ("101", "101") and 6 <= int(held[2]) <= 20 and held[3:] == ("0", "0")
    (everything,) = re.findall(r"^ *all +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) ", done.stdout, re.MULTILINE)
    assert everything == ("329", "329", str(38 + int(held[2])), "19", "19")
    breaker = done.stdout[done.stdout.index("the breaker of Octocoders") :]
    states = re.findall(r"^ *\d+\.\d+ s  (open|half open|closed) ", breaker, re.MULTILINE)
    assert states[:4] == ["open", "half open"] * 2 and states[-1] == "closed"
    assert not processes(tmp_path)
    assert not list(tmp_path.glob("queueops-demo-*"))


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
@pytest.mark.timeout(300)
def test_an_interrupted_demonstration_leaves_nothing_behind(tmp_path: Path) -> None:
    with subprocess.Popen(
        COMMAND, cwd=ROOT, env=surroundings(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as demo:
        eventually(
            lambda: any("celery" in line for line in processes(tmp_path)),
            within=60,
            what="the worker's start",
        )
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(timeout=60) != 0
    eventually(lambda: not processes(tmp_path), within=10, what="the end of all processes")
    assert not list(tmp_path.glob("queueops-demo-*"))
