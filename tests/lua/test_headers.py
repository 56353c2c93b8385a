"""The header of each script says what a caller must know, and says the truth."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest

from queueops.engine import scripts
from queueops.engine.types import WORDS

LUA = Path(str(resources.files("queueops.engine").joinpath("lua")))
SECTIONS = ("KEYS", "ARGV", "RETURNS", "COST", "KEEPS")


def header(name: str) -> dict[str, str]:
    """The comment at the top of a script, by section; its first line is under ``purpose``."""
    lines = []
    for line in scripts.read(name).splitlines():
        if not line.startswith("--") or line.startswith("---"):
            break
        lines.append(line[2:])
    sections = {"purpose": lines[0].strip()}
    current = ""
    for line in lines[1:]:
        if start := re.match(r" ([A-Z]+) +(.*)", line):
            current = start[1]
            sections[current] = start[2]
        else:
            sections[current] += "   " + line.strip()
    return sections


def test_every_script_file_is_a_verb_that_the_loader_knows() -> None:
    assert {path.stem for path in LUA.glob("*.lua")} == set(scripts.NAMES)


@pytest.mark.parametrize("name", scripts.NAMES)
def test_a_header_has_all_its_parts(name: str) -> None:
    sections = header(name)

    assert sections["purpose"].startswith(f"{name}: ")
    assert tuple(sections)[1:] == SECTIONS
    assert sections["KEYS"] == "1 prefix"
    assert all(sections.values())


@pytest.mark.parametrize("name", sorted(WORDS))
def test_the_words_a_script_returns_are_those_python_knows(name: str) -> None:
    returns = header(name)["RETURNS"].partition("then 8 a job")[0]

    assert set(re.findall(r"'([a-z]+)'", returns)) == WORDS[name]
    for word in WORDS[name]:
        assert f"'{word}'" in scripts.source(name)


@pytest.mark.parametrize("name", scripts.NAMES)
def test_arguments_are_numbered_without_gaps(name: str) -> None:
    numbers = [int(number) for number in re.findall(r"(?:^|  +)(\d+)(?:\.{3})? ", header(name)["ARGV"])]

    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("path", sorted(LUA.rglob("*.lua")), ids=lambda path: path.stem)
def test_scripts_keep_the_house_rules(path: Path) -> None:
    text = path.read_text("utf-8")
    code = re.sub(r"--.*", "", text)

    assert text.startswith("-- ")
    assert len(text.splitlines()) <= 260
    assert max(map(len, text.splitlines())) <= 130
    assert not re.search(r"'(KEYS|SCAN|FLUSHALL)'", code)
    assert "qo1:" not in code, "keys are built by keys.py"
    if path.parent != LUA:
        assert not re.search(r"\b(KEYS|ARGV)\b", code), "a part takes what it needs as parameters"


@pytest.mark.parametrize("name", ["claim", "settle", "renew", "release", "reap", "purge"])
def test_scripts_that_take_work_out_may_run_on_a_full_server(name: str) -> None:
    code = scripts.read(name)
    first_write = re.search(r"now\.drainable\(\)", code)

    assert first_write, "the first thing it does is a DEL that allocates nothing"
