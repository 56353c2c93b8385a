"""docs/keyspace.md is what keys.py says, and what keys.py says is what the scripts use."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest

from queueops.engine.keys import NAMESPACE, PATTERNS, Keys, markdown

ROOT = Path(__file__).resolve().parents[2]
LUA = Path(str(resources.files("queueops.engine").joinpath("lua")))


def test_the_page_is_current() -> None:
    page = ROOT / "docs" / "keyspace.md"

    assert page.read_text("utf-8") == markdown(), "python -m queueops.engine.keys > docs/keyspace.md"


def test_every_key_is_used() -> None:
    lua = "".join(path.read_text("utf-8") for path in LUA.rglob("*.lua"))
    python = "".join(path.read_text("utf-8") for path in (ROOT / "queueops").rglob("*.py"))

    for name in PATTERNS:
        assert re.search(rf"\bkey\.{name}\(", lua) or f'key("{name}"' in python, name


def test_every_key_but_the_depth_mirror_carries_the_version() -> None:
    assert {name for name, key in PATTERNS.items() if not key.pattern.startswith(NAMESPACE)} == {"depth"}


def test_a_key_stands_under_the_prefix() -> None:
    key = Keys("app:")

    assert key("lane", queue="bulk", resource="", org="acme") == "app:qo1:lane:bulk::acme"
    assert key("depth", queue="bulk") == "app:bulk"
    with pytest.raises(KeyError):
        key("lane", queue="bulk")
