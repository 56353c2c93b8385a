"""Every Redis key of queueops, built by one function each.

The table below is the single source: Python builds keys with :class:`Keys`, and the script loader replaces
``key.<name>(...)`` in Lua by the same pattern, so the two can not drift apart. ``docs/keyspace.md`` is
generated from it (``python -m queueops.engine.keys``).

All keys share the version in :data:`NAMESPACE`; a change that an older worker could not read raises it.
Names of orgs and resources hold no ``:`` (:data:`queueops.engine.rules.values.NAME`), so a pattern is
unambiguous from the right.
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


def _table(*rows: tuple[str, str, str, str]) -> dict[str, Key]:
    # The depth mirror bears the plain name that stock Celery gives the queue; the rest is in our namespace.
    return {
        name: Key(pattern if name == "depth" else NAMESPACE + pattern, kind, meaning)
        for name, pattern, kind, meaning in rows
    }


PATTERNS: dict[str, Key] = _table(
    (
        "depth",
        "{queue}",
        "list",
        "one empty element per ready job, so that LLEN is the depth; other elements are stock Celery's",
    ),
    ("queues", "queues", "set", "names of all queues that ever had a job"),
    ("job", "job:{queue}:{tag}", "string", "a job that has not ended: head line, then Celery's message"),
    (
        "ids",
        "ids",
        "hash",
        "task id -> queue TAB tag of its latest message; then TAB m when the task has marks",
    ),
    (
        "lane",
        "lane:{queue}:{resource}:{org}",
        "zset",
        "ready jobs of one org for one resource: tag by rank in ms",
    ),
    (
        "ring",
        "ring:{queue}:{resource}",
        "zset",
        "orgs with an open lane for that resource, by virtual time in ms",
    ),
    ("rings", "rings:{queue}", "zset", "resources with an open ring, by a lower bound of their head"),
    (
        "timers",
        "timers:{queue}",
        "zset",
        "what time alone changes, by ms: s<org> earliest due job, o<org> look at the org again,"
        " r<resource> look at the resource again, ! end of a pause or step of a ramp; and what is done in"
        " steps: p<task id> release the jobs that wait for it, x<task id> cancel those whose policy says so,"
        " X<task id> cancel all of them, t<task> bring back its jobs that were put aside",
    ),
    ("scheduled", "scheduled:{queue}:{org}", "zset", "jobs that wait for their time: tag by due ms"),
    (
        "org",
        "org:{queue}:{org}",
        "hash",
        "running state: v virtual time in ms, n jobs in flight, a weight while active, l its lanes' resources"
        " (each followed by a blank), c gate that closed it, t tat of its rate in us, own 0 when it has no"
        " settings of its own; expires when idle",
    ),
    (
        "queue",
        "queue:{queue}",
        "hash",
        "V virtual time in ms, W weight and A number of active orgs, n in flight, o orgs with ready jobs,"
        " slots of the live workers, wake ms at which the keeper (an idle process) will wake for the timers,"
        " and counters since ever",
    ),
    (
        "gates",
        "gates:{queue}",
        "hash",
        "settings: concurrency, fair_by, deliveries, exempt (org), = default limits, =<org> limits,"
        " ! pause, !<org> pause, orgs set when any org has settings, #<task> pause, tasks the paused ones"
        " (each followed by TAB), ramp start and end ms; backlog, org_backlog: most ready jobs at a first"
        " enqueue; listen: until which ms its events are told",
    ),
    (
        "resource",
        "resource:{resource}",
        "hash",
        "= settings, ! pause, n jobs in flight, t tat of its rate in us, closed queues whose ring it is out"
        " of (each followed by TAB); of its breaker: state, since, until, reason, by, opens in a row, round"
        " and out and passed probes, good and bad calls by window; by queue floor: V when its ring came back,"
        " W: and A: weight and number of orgs active for it alone; expires when idle and without settings",
    ),
    ("resources", "resources", "set", "names of resources that a job or a setting has named"),
    (
        "aside",
        "aside:{queue}:{task}",
        "zset",
        "ready jobs of a paused task that came to the head of their lane: tag by rank in ms",
    ),
    ("held", "held:{holder}", "hash", "leases of one process: token -> lease record"),
    ("holders", "holders", "zset", "processes that hold leases, by the ms at which these expire"),
    ("workers", "workers", "hash", "holder -> JSON of the worker's registration"),
    ("slots", "slots:{queue}", "hash", "holder -> slots it offers to the queue"),
    (
        "scale",
        "scale",
        "hash",
        "slots that queues are to have: =<queue> by a person, ~<queue> by the rule -> count TAB until ms"
        " (0 = none) TAB since ms TAB by TAB reason",
    ),
    ("means", "means", "hash", "task -> running mean of its run time in ms"),
    (
        "ended",
        "ended:{minute}",
        "hash",
        "what ended in that minute, kept two minutes: task id -> queue TAB tag (then TAB outcome unless it"
        " succeeded); of an attempt whose task went on queue TAB tag -> nothing",
    ),
    ("kept", "kept:{task_id}", "string", "a task succeeded; until ms. For jobs that ask for a longer memory"),
    ("graves", "graves", "hash", "dead tasks: task id -> queue TAB tag; until replayed, discarded or purged"),
    (
        "marks",
        "marks",
        "hash",
        "task id -> what its end sets off, by TAB: c<queue> jobs there wait for it, u<digest> its unique key,"
        " U<digest> one with an end of its own, k<ms> how long to remember it, x cancelled while leased",
    ),
    (
        "blocked",
        "blocked:{queue}",
        "zset",
        "jobs that wait for other jobs or are held: tag by due ms (0 = none)",
    ),
    (
        "parents",
        "parents:{queue}:{tag}",
        "set",
        "task ids that a blocked job waits for; !<rank> when a person holds it",
    ),
    (
        "children",
        "children:{queue}:{parent}",
        "zset",
        "jobs that wait for that task: tag by policy, 1 = cancelled when it dies or is cancelled, 0 = stays",
    ),
    (
        "unique",
        "unique:{digest}",
        "string",
        "until ms (0 = as long as its job lives) TAB task id that holds the unique key",
    ),
    ("existing", "existing", "hash", "task -> publishes that were answered by the job with their unique key"),
    (
        "cancelled",
        "cancelled",
        "hash",
        "jobs that were cancelled while leased: task id -> queue TAB tag, then TAB s for a run that may end",
    ),
    (
        "minute",
        "minute:{queue}:{minute}:{task}",
        "hash",
        "attempts that ended in that minute, of one task and (no task) of the whole queue: ended, failed,"
        " retried, dead, cancelled, lost; wait_ms and run_us in sum, w<n> and r<n> by bucket; !<error> how"
        " often, @<error> when last; kept an hour",
    ),
    ("hour", "hour:{queue}:{hour}:{task}", "hash", "the same of an hour; kept eight days"),
    ("counts", "counts:{queue}", "hash", "the same of the whole queue since ever, without the errors"),
    (
        "ever",
        "ever:{queue}:{task}",
        "hash",
        "the same of one task, of all its hours but the last in which one ended; kept eight days after that",
    ),
    (
        "tasks",
        "tasks:{queue}",
        "zset",
        "tasks with such counters, by the last hour in which one ended; at most 200",
    ),
    (
        "settled",
        "settled:{queue}",
        "list",
        "the last 10,000 attempts that ended, a line each; those beyond the last multiple of 256 are not yet"
        " in the counters",
    ),
    (
        "failures",
        "failures:{queue}",
        "list",
        "the last 1,000 that failed: the same line, TAB error TAB message",
    ),
    (
        "slowest",
        "slowest:{queue}:{hour}",
        "zset",
        "the 50 longest runs that ended in that hour, by ms; kept a day",
    ),
    ("dead", "dead", "stream", "jobs that gave up and are not yet rows in the database"),
    (
        "events",
        "events",
        "stream",
        "what happens to jobs while somebody listens, and a gap where nobody had; at most about 10,000,"
        " gone ten minutes after",
    ),
    ("listening", "listening", "string", "somebody follows the events of all queues; until ms"),
    ("bell", "bell:{queue}", "list", "one element when work may be claimable; idle workers block on it"),
    (
        "pulse",
        "pulse",
        "hash",
        "last: ms of the last beat of any worker; grace: nothing is reaped before that ms;"
        " wake:<queue> timers already passed over while its closed orgs are looked at again",
    ),
    ("totals", "totals", "hash", "counters that belong to no queue: stale settles, leases of a leadership"),
    (
        "taken",
        "taken",
        "zset",
        "slots of resources held by code: resource TAB id/ms that it is held for TAB flags, by ms of expiry",
    ),
    ("bucket", "bucket:{name}", "string", "tat in us of a rate that code asks for; expires when it is full"),
    ("schedule", "schedule", "hash", "entry of the schedule -> due ms of its latest job"),
    ("lock", "lock:{name}", "string", "a chore or a leadership that one process has at a time; expires"),
    ("absent", "absent", "none", "never exists; deleted first by scripts that must run on a full server"),
)


class Keys:
    """Builds key names under an optional prefix (kombu's ``global_keyprefix``)."""

    __slots__ = ("prefix",)

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix

    def __call__(self, name: str, /, **fields: str) -> str:
        """Return the key of the family ``name`` filled with ``fields``."""
        return self.prefix + PATTERNS[name].pattern.format(**fields)


def lua_key(name: str, arguments: list[str]) -> str:
    """Return the Lua expression that builds the key ``name`` under the prefix ``P``.

    Raises :class:`KeyError` for an unknown family and :class:`ValueError` for a wrong number of arguments.
    """
    key = PATTERNS[name]
    if len(arguments) != len(key.fields):
        raise ValueError(f"key.{name} takes {len(key.fields)} arguments, got {len(arguments)}")
    values = iter(arguments)
    parts = re.split(r"({\w+})", key.pattern)
    pieces = [next(values) if part.startswith("{") else f"'{part}'" for part in parts if part]
    return f"(P .. {' .. '.join(pieces)})"


def markdown() -> str:
    """Return the page ``docs/keyspace.md``."""
    lines = [
        "# Keyspace",
        "",
        "Generated from `queueops/engine/keys.py` by `python -m queueops.engine.keys`.",
        "All keys live on one primary.",
        "",
        "| key | type | meaning |",
        "|---|---|---|",
    ]
    for key in PATTERNS.values():
        lines.append(f"| `{key.pattern}` | {key.type} | {key.meaning.replace('<', '&lt;')} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
