"""Every Redis key of queueops, built by one function each.

The table below is the single source: Python builds keys with :class:`Keys`, and the script loader gives
each Lua file a ``key.<name>`` function made from the same pattern, so the two can not drift apart.
``docs/keyspace.md`` is generated from it (``python -m queueops.engine.keys``).

All keys share the version in :data:`NAMESPACE`; a change that an older worker could not read raises it.
Org and resource names hold no ``:`` (see :data:`queueops.errors`), so a pattern is unambiguous from the right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Prefix of every key but the depth mirror; the digit is the version of the keyspace.
NAMESPACE = "qo1:"


@dataclass(frozen=True, slots=True)
class Key:
    """One family of keys: its pattern, its Redis type and what it means."""

    pattern: str
    type: str
    meaning: str

    @property
    def fields(self) -> list[str]:
        """Names of the placeholders, in order."""
        return re.findall(r"{(\w+)}", self.pattern)


PATTERNS: dict[str, Key] = {
    "depth": Key("{queue}", "list", "one empty element per ready job, so that LLEN is the depth; others are stock Celery's"),
    "queues": Key(NAMESPACE + "queues", "set", "names of all queues that ever had a job"),
    "job": Key(NAMESPACE + "job:{queue}:{tag}", "string", "a job that has not ended: head line, then Celery's message"),
    "ids": Key(NAMESPACE + "ids", "hash", "task id -> queue TAB tag of its latest message"),
    "lane": Key(NAMESPACE + "lane:{queue}:{resource}:{org}", "zset", "ready jobs of one org for one resource: tag by rank in ms"),
    "ring": Key(NAMESPACE + "ring:{queue}:{resource}", "zset", "orgs with an open lane for that resource, by virtual time in ms"),
    "rings": Key(NAMESPACE + "rings:{queue}", "zset", "resources with an open ring, by a lower bound of their head"),
    "timers": Key(NAMESPACE + "timers:{queue}", "zset", "what time alone changes, by ms: s<org> due jobs, o<org> reopening, ! end of a pause"),
    "scheduled": Key(NAMESPACE + "scheduled:{queue}:{org}", "zset", "jobs that wait for their time: tag by due ms"),
    "org": Key(NAMESPACE + "org:{queue}:{org}", "hash", "running state: v virtual time, n in flight, r rings, k lanes, a weight counted in W, c closing gate, u closed until, t rate's tat in us, l:<resource> lane not empty"),
    "queue": Key(NAMESPACE + "queue:{queue}", "hash", "V virtual time, W weight and A number of active orgs, n in flight, scheduled, slots, and counters since ever"),
    "gates": Key(NAMESPACE + "gates:{queue}", "hash", "settings: concurrency, fair_by, deliveries, exempt, = default limits, =<org> limits, ! pause, !<org> pause"),
    "held": Key(NAMESPACE + "held:{holder}", "hash", "leases of one process: token -> lease record"),
    "holders": Key(NAMESPACE + "holders", "zset", "processes that hold leases, by the ms at which these expire"),
    "workers": Key(NAMESPACE + "workers", "hash", "holder -> JSON of the worker's registration"),
    "slots": Key(NAMESPACE + "slots:{queue}", "hash", "holder -> slots it offers to the queue"),
    "means": Key(NAMESPACE + "means", "hash", "task -> running mean of its run time in ms"),
    "ended": Key(NAMESPACE + "ended:{minute}", "set", "queue TAB tag of the jobs that ended in that minute; kept two minutes"),
    "dead": Key(NAMESPACE + "dead", "stream", "jobs that gave up and are not yet rows in the database"),
    "bell": Key(NAMESPACE + "bell:{queue}", "list", "one element when work may be claimable; idle workers block on it"),
    "keeper": Key(NAMESPACE + "keeper:{queue}", "string", "the idle process that wakes for the queue's timers; expires"),
    "pulse": Key(NAMESPACE + "pulse", "hash", "last: ms of the last beat of any worker; grace: nothing is reaped before that ms"),
    "totals": Key(NAMESPACE + "totals", "hash", "counters that belong to no queue: stale settles"),
    "lock": Key(NAMESPACE + "lock:{name}", "string", "a chore that one process does at a time; expires"),
    "absent": Key(NAMESPACE + "absent", "none", "never exists; deleted first by scripts that must run on a full server"),
}


class Keys:
    """Builds key names under an optional prefix (kombu's ``global_keyprefix``)."""

    __slots__ = ("prefix",)

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix

    def __call__(self, name: str, /, **fields: str) -> str:
        """Return the key of the family ``name`` filled with ``fields``."""
        return self.prefix + PATTERNS[name].pattern.format(**fields)


def lua_function(name: str) -> str:
    """Return a one-line Lua function that builds the key ``name`` under the prefix ``P``."""
    key = PATTERNS[name]
    parts = re.split(r"({\w+})", key.pattern)
    pieces = [part[1:-1] if part.startswith("{") else f"'{part}'" for part in parts if part]
    return f"function key.{name}({', '.join(key.fields)}) return P .. {' .. '.join(pieces)} end"


def markdown() -> str:
    """Return the page ``docs/keyspace.md``."""
    lines = [
        "# Keyspace",
        "",
        "Generated from `queueops/engine/keys.py` by `python -m queueops.engine.keys`. All keys live on one primary.",
        "",
        "| key | type | meaning |",
        "|---|---|---|",
    ]
    lines += [f"| `{key.pattern}` | {key.type} | {key.meaning.replace('<', '&lt;')} |" for key in PATTERNS.values()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
