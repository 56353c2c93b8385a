"""Where PromQL stands in this repository, and which metrics it names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
RULES = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yml"))
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))

#: Words of the language that stand where a metric could.
_WORDS = {
    "by",
    "without",
    "on",
    "ignoring",
    "and",
    "or",
    "unless",
    "offset",
    "group_left",
    "group_right",
    "bool",
}


def names(expression: str) -> set[str]:
    """The metrics that an expression reads."""
    text = re.sub(r'"[^"]*"', "", expression)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", text)
    text = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", " ", text)
    text = re.sub(r"\boffset\s+\w+", " ", text)
    found = re.findall(r"(?<![\w.])([a-zA-Z_:][\w:]*)(?!\s*\(|[\w:])", text)
    return {name for name in found if name not in _WORDS}


def rules(file: Path) -> Iterator[Mapping[str, Any]]:
    """The rules of a file."""
    for group in yaml.safe_load(file.read_text())["groups"]:
        yield from group["rules"]


def recorded() -> set[str]:
    """The names that rules record."""
    return {rule["record"] for file in RULES for rule in rules(file) if "record" in rule}


def panels(file: Path) -> Iterator[tuple[str, str]]:
    """Title and expression of each query of a dashboard, with its variables standing for everything."""
    for panel in json.loads(file.read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], re.sub(r"\$\w+", ".*", target["expr"])


def mapped() -> list[tuple[str, str]]:
    """Rows of the table of names in docs/metrics.md: the other system's name, and the expression for it
    here.
    """
    text = (ROOT / "docs" / "metrics.md").read_text().partition("## Names of other systems")[2]
    rows = [line.strip("| \n").split(" | ") for line in text.partition("\n## ")[0].splitlines()]
    cells = [[cell.strip(" |") for cell in row] for row in rows if len(row) >= 2]
    return [(row[-2].strip("`"), row[-1].strip("`")) for row in cells if row[-1].startswith("`")]
