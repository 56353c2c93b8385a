"""The upstream suites: source distributions from PyPI, and what they need beyond the project's packages.

Everything lands under ``var/conformance`` and is keyed by version, so a second run downloads nothing.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
import tarfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VAR = ROOT / "var" / "conformance"

# What the chosen upstream files import or mark their tests with, and the project itself does not need.
TEST_PACKAGES = ("pydantic>=2.11,<3", "pytest-rerunfailures==16.7")

# The suites and their settings only: the packages under test are the installed ones.
UNPACKED = ("t/", "pyproject.toml")


@dataclass(frozen=True)
class Upstream:
    """One unpacked source distribution: its name, its version and the directory that holds ``t/``."""

    name: str
    version: str
    tree: Path


def fetch(name: str) -> Upstream:
    """Return the unpacked suite of the installed version of ``name``, downloading it the first time.

    Raises ``subprocess.CalledProcessError`` when the package index cannot be reached.
    """
    installed = version(name)
    tree = VAR / "sources" / f"{name}-{installed}"
    if not tree.exists():
        archive = _download(name, installed)
        unpacking = tree.with_name(f".{tree.name}.{os.getpid()}")
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():
                member.name = member.name.partition("/")[2]
                if member.name.startswith(UNPACKED):
                    tar.extract(member, unpacking, filter="data")
        # Renamed at the end, so that an interrupted unpacking is not taken for a whole tree.
        unpacking.rename(tree)
    return Upstream(name, installed, tree)


def python() -> Path:
    """Return the interpreter of the suites' environment: the running one's packages and ``TEST_PACKAGES``."""
    wanted = hashlib.sha256(repr((TEST_PACKAGES, sys.version, sys.prefix)).encode()).hexdigest()[:12]
    home = VAR / f"venv-{wanted}"
    interpreter = home / "bin" / "python"
    ready = home / "ready"
    if not ready.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        _run(sys.executable, "-m", "venv", "--clear", str(home))
        # A path file, not a second installation: both runs use the very packages the project is tested with.
        (site,) = home.glob("lib/python*/site-packages")
        (site / "project.pth").write_text(
            f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n"
        )
        _run(str(interpreter), "-m", "pip", "install", "--quiet", *TEST_PACKAGES)
        ready.touch()
    return interpreter


def _download(name: str, wanted: str) -> Path:
    folder = VAR / "archives"
    archive = folder / f"{name}-{wanted}.tar.gz"
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _run(
            *(str(python()), "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", name),
            *("--dest", str(folder), f"{name}=={wanted}"),
        )
    return archive


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
