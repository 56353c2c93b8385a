"""Create .venv and install what is pinned, with nothing but Python 3.11 and its standard library.

    python3 deploy/local/environment.py requirements.txt

It also writes a .env with fresh secrets when there is none. pip installs uv into the new environment and uv
installs the rest, which takes seconds instead of a minute; where uv cannot be had or cannot reach the
index, pip does it all.
"""

from __future__ import annotations

import importlib.util
import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
#: The project too, from where it lies: it brings the commands `queueops` and `celery -A config queueops`.
#: As a plain path: the finder that setuptools would install costs each start of Python 20 ms.
ITSELF = ("--no-deps", "--config-settings", "editable_mode=compat", "-e", ".")


def main(argv: list[str]) -> int:
    """Install the requirement file named in argv into .venv; answers the exit code of the last installer."""
    if sys.version_info < (3, 11):  # noqa: UP036  the interpreter that `make` found may be older than the project's
        print(
            f"queueops needs Python 3.11 or later; {sys.executable} is {sys.version.split()[0]}.",
            file=sys.stderr,
        )
        print("Name another one: make PYTHON=/path/to/python3.11 ...", file=sys.stderr)
        return 1
    requirements = ROOT / argv[0]
    create_environment()
    if not has_pip():
        print(
            "This Python brings neither ensurepip nor pip (on Debian: apt install python3-venv).",
            file=sys.stderr,
        )
        return 1
    write_secrets()
    print(f"Installing {requirements.name} into .venv ...", flush=True)
    uv = (PYTHON.with_name("uv"), "pip", "install", "-q")
    if install_uv() and run(*uv, "-r", requirements, quiet=True) == run(*uv, *ITSELF, quiet=True) == 0:
        return 0
    pip = (PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check")
    return run(*pip, "-r", requirements) or run(*pip, *ITSELF)


def create_environment() -> None:
    """Make .venv; also where ensurepip was split off, as Debian does, if the outer Python has a pip."""
    if PYTHON.exists() and has_pip():
        return
    if importlib.util.find_spec("ensurepip") is not None and run(sys.executable, "-m", "venv", VENV) == 0:
        return
    run(sys.executable, "-m", "venv", "--clear", "--without-pip", VENV)
    run(sys.executable, "-m", "pip", "-q", "--python", PYTHON, "install", "pip")


def has_pip() -> bool:
    return run(PYTHON, "-m", "pip", "--version", quiet=True) == 0


def install_uv() -> bool:
    """True when the uv that requirements-dev.txt pins could be installed."""
    pinned = re.search(r"^uv==\S+", (ROOT / "requirements-dev.txt").read_text(), re.MULTILINE)
    wanted = pinned.group() if pinned else "uv"
    return run(PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", wanted, quiet=True) == 0


def write_secrets() -> None:
    """Put a key for Django and a login for Flower into .env, for its owner's eyes; an existing one stays."""
    lines = [
        f"SECRET_KEY={secrets.token_urlsafe(48)}",
        f"FLOWER_BASIC_AUTH=admin:{secrets.token_urlsafe(12)}",
    ]
    try:
        file = os.open(ROOT / ".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(file, "w") as env:
        env.write("# Made by make; .env.example names what else may stand here.\n" + "\n".join(lines) + "\n")


def run(*command: object, quiet: bool = False) -> int:
    output = subprocess.DEVNULL if quiet else None
    try:
        return subprocess.run(
            [str(part) for part in command], cwd=ROOT, stdout=output, stderr=output
        ).returncode
    except OSError:
        return 127


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
