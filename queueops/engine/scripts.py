"""Loads the Lua scripts: one file per verb, shared parts by include, keys from :mod:`queueops.engine.keys`.

- ``--- @include "lib/gates"``, alone on a line, puts the file there, once per script; a cycle or a missing
file
  is an error. Indented, it belongs to its block: the part is put together only when the block runs.
- ``key.lane(queue, resource, org)`` becomes the expression that builds that key.

A part is a table of functions (``rings.enter``). Each call of a script builds its closures anew, and for a
small call that is a good part of its cost: a script includes at its top what it always needs, rare parts
where they are used, and keys are no functions.

The text is not minified, so a line number in a Redis error is a line of :func:`source` (``python -m
queueops.engine.scripts claim`` prints it).
"""

from __future__ import annotations

import functools
import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

import redis
from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

from queueops.engine import wire
from queueops.engine.keys import lua_key

INCLUDE = re.compile(r'^( *)--- @include "([^"\n]+)"$', re.MULTILINE)
PLACE = re.compile(r"@user_script:(\d+)")
KEY = re.compile(r"\bkey\.(\w+)\(")

#: Every verb that is a script.
NAMES = (
    "enqueue",
    "claim",
    "settle",
    "renew",
    "release",
    "reap",
    "pause",
    "limits",
    "snapshot",
    "adopt",
    "purge",
    "explain",
    "list",
    "retry",
    "drain",
    "doctor",
    "doctor_jobs",
    "doctor_leases",
    "cancel",
    "hold",
    "unbury",
    "resources",
    "resource",
    "panic",
    "lead",
    "acquire",
    "places",
    "survey",
    "strays",
    "draw",
    "spans",
    "mask",
    "orgs",
    "tally",
    "listen",
)


class ScriptError(Exception):
    """A script can not be put together."""


def read(name: str) -> str:
    """Return the text of ``lua/<name>.lua``; raises :class:`ScriptError` when there is none."""
    file = resources.files("queueops.engine").joinpath("lua", *f"{name}.lua".split("/"))
    try:
        return file.read_text("utf-8")
    except FileNotFoundError:
        raise ScriptError(f"no script file lua/{name}.lua") from None


def expand(text: str, seen: set[str] | None = None, open_files: tuple[str, ...] = ()) -> str:
    """Return ``text`` with its includes; ``seen`` holds what stands in the script already."""
    done = set() if seen is None else seen
    block: tuple[int, set[str]] = (-1, done)

    def replace(match: re.Match[str]) -> str:
        nonlocal block
        indent, name = match.groups()
        here = done
        if indent:  # what a block includes is known only inside it; its directives stand together
            here = block[1] if match.start() == block[0] + 1 else set(done)
            block = (match.end(), here)
        if name in open_files:
            raise ScriptError(f"include cycle: {' -> '.join((*open_files, name))}")
        if name in here:
            return ""
        here.add(name)
        return expand(read(name), here, (*open_files, name)).rstrip("\n")

    return INCLUDE.sub(replace, text)


def with_keys(text: str) -> str:
    """Return ``text`` with every ``key.<name>(...)`` replaced by the expression that builds the key."""
    pieces, at = [], 0
    for match in iter_outermost(text):
        arguments, end = call_arguments(text, match.end())
        try:
            expression = lua_key(match[1], [with_keys(argument) for argument in arguments])
        except KeyError:
            raise ScriptError(f"unknown key.{match[1]}") from None
        except ValueError as error:
            raise ScriptError(str(error)) from None
        pieces += [text[at : match.start()], expression]
        at = end
    return "".join((*pieces, text[at:]))


def iter_outermost(text: str) -> Iterator[re.Match[str]]:
    """Yield the uses of keys that do not stand inside another use."""
    end = 0
    while match := KEY.search(text, end):
        yield match
        end = call_arguments(text, match.end())[1]


def call_arguments(text: str, start: int) -> tuple[list[str], int]:
    """Return the arguments of the call whose parenthesis opened before ``start``, and where the call ends."""
    depth, arguments, at = 1, [], start
    for position in range(start, len(text)):
        character = text[position]
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        if depth == 0 or (depth == 1 and character == ","):
            arguments.append(text[at:position].strip())
            at = position + 1
        if depth == 0:
            return [argument for argument in arguments if argument], at
    raise ScriptError(f"a call is not closed: {text[start : start + 60]!r}")


@functools.cache
def source(name: str) -> str:
    """Return the whole text that Redis runs for the verb ``name``."""
    return "local P = KEYS[1]\n" + with_keys(expand(read(name)))


def is_refusal(error: BaseException) -> bool:
    """Return whether the server itself refused a command: a new connection would hear the same.

    A key of a wrong type, a disk that is full, too few replicas. Not a demoted or loading primary.
    """
    return type(error) in (ResponseError, OutOfMemoryError) and not str(error).startswith("UNBLOCKED")


def told(error: BaseException, name: str) -> str:
    """Return what the server said when it refused the script ``name``, with the line that it stopped at."""
    text = str(error)
    found = PLACE.search(text)
    lines = source(name).splitlines()
    if found is None or not 0 < int(found[1]) <= len(lines):
        return f"{name}: {text}"
    return f"{name}: {text} Line {found[1]} is: {lines[int(found[1]) - 1].strip()}"


@functools.cache
def digest(name: str) -> str:
    """Return the SHA-1 by which EVALSHA names the script."""
    return hashlib.sha1(source(name).encode(), usedforsecurity=False).hexdigest()


def run(client: redis.Redis, prefix: str, name: str, *args: str | int | float | bytes) -> Any:
    """Run one script; loads it when the server does not know it (a restart, a failover)."""
    try:
        return wire.call(client, "EVALSHA", digest(name), 1, prefix, *args)
    except NoScriptError:
        return wire.call(client, "EVAL", source(name), 1, prefix, *args)


def run_replicated(
    client: redis.Redis, prefix: str, name: str, replicas: int, wait_ms: int, *args: str | int | float | bytes
) -> tuple[Any, int]:
    """Run one script, then wait until ``replicas`` have received what it wrote; returns its answer and how
    many have within ``wait_ms``.
    """
    # One connection for both: WAIT speaks of the writes of its own connection.
    pipeline: Any = client.pipeline(transaction=False)
    command = ("EVALSHA", digest(name), 1, prefix, *args)
    try:
        answer, confirmed = (
            pipeline.execute_command(*command).execute_command("WAIT", replicas, wait_ms).execute()
        )
    except NoScriptError:
        client.script_load(source(name))
        answer, confirmed = (
            pipeline.execute_command(*command).execute_command("WAIT", replicas, wait_ms).execute()
        )
    return answer, int(confirmed)


def send(client: redis.Redis, prefix: str, name: str, *args: str | int | float | bytes) -> Callable[[], Any]:
    """Send one script; returns the function that waits for its answer."""
    receive = wire.send(client, "EVALSHA", digest(name), 1, prefix, *args)

    def answer() -> Any:
        try:
            return receive()
        except NoScriptError:
            return wire.call(client, "EVAL", source(name), 1, prefix, *args)

    return answer


if __name__ == "__main__":
    print(source(sys.argv[1]), end="")
