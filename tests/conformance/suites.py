"""Which upstream files are run, and with which command and environment for a broker."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.sources import ROOT, Upstream, fetch, python

HERE = Path(__file__).parent

STOCK = "redis"
OURS = "queueops"

# Settings of the caller that would change what either side does.
_PRIVATE = (
    "CELERY",
    "DJANGO_",
    "QUEUE",
    "REDIS_",
    "WORKER_",
    "TEST_BROKER",
    "TEST_BACKEND",
    "PYTEST_",
    "APP",
)


@dataclass(frozen=True)
class Suite(ABC):
    """One upstream file; ``name`` is what ``--only`` takes and its ids in ``explained.toml`` start with."""

    package: str
    name: str

    def upstream(self) -> Upstream:
        """Return the source distribution the file comes from."""
        return fetch(self.package)

    def command(self, scheme: str, results: Path, tests: Sequence[str] = ()) -> list[str]:
        """Return the pytest command that runs this file over ``scheme`` and writes ``results`` as it goes.

        ``tests``: ids, when only these are to be run.
        """
        tree = self.upstream().tree
        file = self._file(tree)
        return [
            *(str(python()), "-m", "pytest", "-q", "--tb=short", "--no-header", "--strict-markers"),
            *("-o", "verbosity_assertions=2"),  # a whole difference, so that explanations can be held to it
            # The suite's own directory decides the ids, its own conftest files apply, ours do not.
            *("--rootdir", str(file.parent), "--confcutdir", str(file.parent)),
            *("-p", "no:cacheprovider"),
            *("-p", "tests.conformance.recorder", "--record", str(results)),
            *self._plugins(scheme),
            *([str(file.with_name(test)) for test in tests] or [str(file)]),
        ]

    def environment(self, scheme: str, broker_port: int, backend_port: int) -> dict[str, str]:
        """Return the environment of that command: both servers, nothing of the caller's own."""
        interpreter = python()
        env = {k: v for k, v in os.environ.items() if not k.startswith(_PRIVATE)}
        env |= {
            # `celery` is started by name in one of the tests: the project's own script serves.
            "PATH": os.pathsep.join(
                [str(interpreter.parent), str(Path(sys.prefix, "bin")), env.get("PATH", "")]
            ),
            "PYTHONPATH": os.pathsep.join([str(self.upstream().tree), str(ROOT)]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TEST_BROKER": f"{scheme}://127.0.0.1:{broker_port}/0",
            "TEST_BACKEND": f"redis://127.0.0.1:{backend_port}/0",
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(backend_port),
            "WORKER_LOGLEVEL": "INFO",  # as upstream runs it: two tests read the worker's log
        }
        if scheme == OURS:
            # Read by the `celery` command as -A: workers that tests start by hand load our app as users' do.
            env["APP"] = "tests.conformance.app"
        return env

    @abstractmethod
    def _plugins(self, scheme: str) -> list[str]:
        """Return the options of pytest that load what the file needs."""

    @abstractmethod
    def _file(self, tree: Path) -> Path:
        """Return the file in the source distribution."""


class CelerySuite(Suite):
    """A file of Celery's ``t/integration``, run from the source distribution as it is."""

    def _plugins(self, scheme: str) -> list[str]:
        plugins = ["-c", str(self.upstream().tree / "pyproject.toml"), "-p", "celery.contrib.pytest"]
        if scheme == OURS:
            plugins += ["-p", "tests.conformance.as_user"]
        return plugins

    def _file(self, tree: Path) -> Path:
        return tree / "t" / "integration" / self.name


class KombuSuite(Suite):
    """Our subclasses of kombu's integration classes: upstream's own hard-code ``redis://``."""

    def _plugins(self, scheme: str) -> list[str]:
        return ["-c", str(HERE / "kombu.ini")]

    def _file(self, tree: Path) -> Path:
        return HERE / self.name


SUITES: tuple[Suite, ...] = (
    KombuSuite("kombu", "kombu_redis.py"),
    CelerySuite("celery", "test_worker.py"),
    CelerySuite("celery", "test_inspect.py"),
    CelerySuite("celery", "test_group_chains.py"),
    CelerySuite("celery", "test_tasks.py"),
    CelerySuite("celery", "test_canvas.py"),
)
