"""Loads the Lua scripts: one file per verb, shared parts by include, keys from :mod:`queueops.engine.keys`.

Two directives, each alone on a line:

- ``--- @include "lib/gates"`` puts the file there, once per script; a cycle or a missing file is an error.
- ``--- @keys job lane`` gives ``key.job`` and ``key.lane``.

A part is a table of functions (``rings.enter``), not a set of local functions: each call of a script builds its
closures anew, and Lua looks every captured local up in a list; a hundred captured locals cost more than the work.

The text is not minified, so a line number in a Redis error is a line of :func:`source` (``python -m
queueops.engine.scripts claim`` prints it).
"""

from __future__ import annotations

import functools
import hashlib
import re
import sys
from importlib import resources
from typing import Any

import redis
from redis.exceptions import NoScriptError

from queueops.engine.keys import lua_function

DIRECTIVE = re.compile(r'^--- @(include|keys) "?([^"\n]+)"?$', re.MULTILINE)

#: Every verb that is a script.
NAMES = ("enqueue", "claim", "settle", "renew", "release", "reap", "pause", "limits", "snapshot", "adopt", "purge")


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
    """Return ``text`` with its directives replaced; ``seen`` holds what stands in the script already."""
    done = set() if seen is None else seen

    def replace(match: re.Match[str]) -> str:
        kind, value = match.groups()
        if kind == "keys":
            wanted = [name for name in value.split() if f"key.{name}" not in done]
            done.update(f"key.{name}" for name in wanted)
            return "\n".join(lua_function(name) for name in wanted)
        if value in open_files:
            raise ScriptError(f"include cycle: {' -> '.join((*open_files, value))}")
        if value in done:
            return ""
        done.add(value)
        return expand(read(value), done, (*open_files, value)).rstrip("\n")

    return DIRECTIVE.sub(replace, text)


@functools.cache
def source(name: str) -> str:
    """Return the whole text that Redis runs for the verb ``name``."""
    return "local P, key = KEYS[1], {}\n" + expand(read(name))


@functools.cache
def digest(name: str) -> str:
    """Return the SHA-1 by which EVALSHA names the script."""
    return hashlib.sha1(source(name).encode(), usedforsecurity=False).hexdigest()


def run(client: redis.Redis[Any], prefix: str, name: str, *args: str | int | float | bytes) -> Any:
    """Run one script; loads it when the server does not know it (a restart, a failover)."""
    try:
        return client.evalsha(digest(name), 1, prefix, *args)
    except NoScriptError:
        return client.eval(source(name), 1, prefix, *args)


if __name__ == "__main__":
    print(source(sys.argv[1]), end="")
