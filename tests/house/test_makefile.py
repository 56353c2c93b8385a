"""`make` alone explains itself."""

from __future__ import annotations

import re
import subprocess

from .support import ROOT, environment

TARGETS = {
    "up",
    "dev",
    "password",
    "demo",
    "test",
    "test-all",
    "check",
    "conformance",
    "bench",
    "soak",
    "clean",
}


def make(*arguments: str) -> str:
    done = subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout


def test_make_alone_prints_a_line_for_every_target() -> None:
    printed = {line.split()[0]: line.split(maxsplit=1)[1] for line in make().splitlines()[1:]}

    assert printed.keys() >= TARGETS
    assert all(printed.values())


def test_every_phony_target_has_a_help_text() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None

    printed = {line.split()[0] for line in make("help").splitlines()[1:]}

    assert set(phony.group(1).split()) == printed
