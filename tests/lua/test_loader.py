"""How scripts are put together: includes, blocks, keys, and what the loader refuses."""

from __future__ import annotations

import pytest
import redis

from queueops.engine import scripts
from queueops.engine.keys import PATTERNS, Keys
from queueops.engine.scripts import ScriptError, expand, with_keys
from tests.support.valkey import Valkey


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Script files that exist only here."""
    found: dict[str, str] = {}

    def read(name: str) -> str:
        if name not in found:
            raise ScriptError(f"no script file lua/{name}.lua")
        return found[name]

    monkeypatch.setattr(scripts, "read", read)
    return found


def test_a_part_stands_once_and_before_what_uses_it(files: dict[str, str]) -> None:
    files |= {"a": '--- @include "b"\n--- @include "c"\nA\n', "b": '--- @include "c"\nB\n', "c": "C\n"}

    assert expand(files["a"]).split() == ["C", "B", "A"]


def test_a_part_of_a_block_is_known_only_in_the_block(files: dict[str, str]) -> None:
    files |= {"b": '--- @include "c"\nB\n', "c": "C\n"}
    text = 'if x then\n  --- @include "b"\n  --- @include "c"\nend\n--- @include "c"\nA\n'

    assert expand(text).split() == ["if", "x", "then", "C", "B", "end", "C", "A"]


def test_a_block_does_not_repeat_what_stands_above_it(files: dict[str, str]) -> None:
    files |= {"b": '--- @include "c"\nB\n', "c": "C\n"}

    assert expand('--- @include "c"\ndo\n  --- @include "b"\nend\n').split() == ["C", "do", "B", "end"]


def test_a_missing_part_and_a_cycle_are_errors(files: dict[str, str]) -> None:
    files |= {"a": '--- @include "b"\n', "b": '--- @include "a"\n', "c": '--- @include "none"\n'}

    with pytest.raises(ScriptError, match="cycle: a -> b -> a"):
        expand('--- @include "a"\n')
    with pytest.raises(ScriptError, match=r"no script file lua/none\.lua"):
        expand(files["c"])


def test_a_script_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ScriptError, match=r"no script file lua/nothing\.lua"):
        scripts.source("nothing")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("key.queues()", "(P .. 'qo1:queues')"),
        ("f(key.job(q.name, tag), 1)", "f((P .. 'qo1:job:' .. q.name .. ':' .. tag), 1)"),
        ("key.queue(names[f(1, 2)])", "(P .. 'qo1:queue:' .. names[f(1, 2)])"),
        ("key.depth(key.ids())", "(P .. (P .. 'qo1:ids'))"),
        ("monkey.business(1)", "monkey.business(1)"),
    ],
)
def test_a_key_becomes_the_expression_that_builds_it(text: str, expected: str) -> None:
    assert with_keys(text) == expected


@pytest.mark.parametrize("text", ["key.nothing()", "key.job(queue)", "key.queues(1)", "key.job(queue, tag"])
def test_a_key_that_is_used_wrongly_is_an_error(text: str) -> None:
    with pytest.raises(ScriptError):
        with_keys(text)


def test_lua_and_python_build_the_same_keys(shared_valkey: Valkey) -> None:
    client = redis.Redis(port=shared_valkey.port)
    build = Keys("some-prefix:")
    for name, pattern in PATTERNS.items():
        fields = {field: f"{field}-value" for field in pattern.fields}
        names = ", ".join(f"'{value}'" for value in fields.values())
        text = with_keys(f"local P = KEYS[1]\nreturn key.{name}({names})")

        assert client.eval(text, 1, "some-prefix:").decode() == build(name, **fields)
    client.close()


@pytest.mark.parametrize("name", scripts.NAMES)
def test_every_script_compiles(shared_valkey: Valkey, name: str) -> None:
    client = redis.Redis(port=shared_valkey.port)

    assert client.script_load(scripts.source(name)) == scripts.digest(name)
    client.close()


def test_a_server_that_forgot_the_scripts_is_told_again(shared_valkey: Valkey) -> None:
    client = redis.Redis(port=shared_valkey.port)
    client.script_flush()

    assert scripts.run(client, "loader:", "snapshot", 1, "standard", "")
    assert client.script_exists(scripts.digest("snapshot")) == [True]
    client.close()
