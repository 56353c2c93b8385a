"""What must hold between the keys at any time, whatever happened: read from the keyspace, not from the
store.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest

from tests.engine.world import World


def check(world: World, *, late_ms: int = 0) -> None:
    """Raise when any two keys disagree.

    ``late_ms``: by how much a closing may outlast its gate; one step back of the clock that was not noticed.
    """
    keys = world.keyspace()
    lanes, scheduled = _by_queue(keys, "lane"), _by_queue(keys, "scheduled")
    leases = _leases(keys)
    for queue in keys.get("qo1:queues", set()):
        _queue(
            world,
            keys,
            queue,
            lanes[queue],
            scheduled[queue],
            [job for job in leases if job["queue"] == queue],
            world.now + late_ms,
        )
    _jobs(keys, lanes, scheduled, leases)


def healthy(world: World, *, parents_may_be_gone: bool = False) -> None:
    """Raise when the doctor finds anything: what is right must not look wrong to it.

    ``parents_may_be_gone``: jobs may wait for one that was cancelled or discarded, as it rightly says.
    """
    store = world.store
    found = store.check_leases(now_ms=world.now)[0] + store.check_jobs(now_ms=world.now)[0]
    for queue in store.queues():
        found += store.check_queue(queue, now_ms=world.now)[0]
    if parents_may_be_gone:
        found = [one for one in found if one.kind != "parent of a blocked job"]
    assert not found


def _by_queue(keys: dict[str, Any], family: str) -> dict[str, dict[tuple[str, ...], dict[str, float]]]:
    found: dict[str, dict[tuple[str, ...], dict[str, float]]] = defaultdict(dict)
    for key, members in keys.items():
        _, name, *fields = key.split(":")[:5] if key.startswith("qo1:") else ("", "")
        if name == family:
            found[fields[0]][tuple(fields[1:])] = members
    return found


def _leases(keys: dict[str, Any]) -> list[dict[str, str]]:
    names = ("queue", "tag", "org", "resource", "task", "task_id")
    return [
        {"token": token, **dict(zip(names, record.split("\t"), strict=False))}
        for key, held in keys.items()
        if key.startswith("qo1:held:")
        for token, record in held.items()
    ]


def _queue(
    world: World,
    keys: dict[str, Any],
    queue: str,
    lanes: dict[Any, Any],
    scheduled: dict[Any, Any],
    leases: list[dict[str, str]],
    latest_ms: int,
) -> None:
    state = keys.get(f"qo1:queue:{queue}", {})
    orgs = {key.split(":")[3]: value for key, value in keys.items() if key.startswith(f"qo1:org:{queue}:")}
    in_flight = Counter(lease["org"] for lease in leases)
    of_org: dict[str, set[str]] = defaultdict(set)
    for resource, org in lanes:
        of_org[org].add(resource)

    aside = sum(len(tags) for key, tags in keys.items() if key.startswith(f"qo1:aside:{queue}:"))
    ready = sum(map(len, lanes.values())) + aside
    assert sum(element == "" for element in keys.get(queue, [])) == ready, "depth mirror"
    assert int(state.get("n", 0)) == len(leases), "slots of the queue"
    assert int(state.get("scheduled", 0)) == sum(map(len, scheduled.values())), "scheduled"
    assert int(state.get("o", 0)) == len(of_org), "orgs with ready jobs"
    active = {}
    closed = _closed_resources(world, keys, queue, latest_ms)
    for name, org in orgs.items():
        assert int(org["n"]) == in_flight[name], f"slots of {name}"
        resources = org["l"].split(" ")[:-1]
        assert sorted(resources) == sorted(of_org[name]), f"lanes of {name}"
        standing = {r for r in resources if name in keys.get(f"qo1:ring:{queue}:{r}", {})}
        assert standing == (set() if org["c"] else set(resources)), f"rings of {name}"
        for resource in standing:
            place = keys[f"qo1:ring:{queue}:{resource}"][name]
            assert place <= float(org["v"]) + 1e-6, f"{name} stands behind its time in a ring"
            rings = keys.get(f"qo1:rings:{queue}", {})
            if resource in closed:
                assert resource not in rings, f"{resource} is closed and its ring is open"
            else:
                floor = float(keys.get(f"qo1:resource:{resource}", {}).get(f"floor:{queue}", 0))
                assert rings[resource] <= max(place, floor) + 1e-6, "a ring's bound is above its head"
        if org["c"]:
            end = keys.get(f"qo1:timers:{queue}", {}).get(f"o{name}")
            assert end is not None, f"{name} is closed without an end"
            assert resources, f"{name} is closed without a lane"
            open_now = world.org(name, queue).gate is None
            assert not open_now or end <= latest_ms, f"{name} is closed by {org['c']}, which is open"
        if int(org["n"]) or standing:
            assert float(org["a"]) > 0
            if int(org["n"]) or len(standing) > 1 or not standing <= closed:
                active[name] = float(org["a"])
        else:
            assert float(org["a"]) == 0, f"{name} counts in W"
    assert set(of_org) <= set(orgs) and set(in_flight) <= set(orgs), "no state of an org with jobs"
    assert int(state.get("A", 0)) == len(active), "number of active orgs"
    assert float(state.get("W", 0)) == pytest.approx(sum(active.values()), abs=1e-6), "weight of active orgs"
    for (org,) in scheduled:
        assert keys[f"qo1:timers:{queue}"][f"s{org}"] <= min(scheduled[(org,)].values()), (
            "a due job without a timer"
        )


def _closed_resources(world: World, keys: dict[str, Any], queue: str, latest_ms: int) -> set[str]:
    """Resources whose ring is out of the queue; each has an end, and its slots have holders."""
    closed = set()
    for key, stored in keys.items():
        if not key.startswith("qo1:resource:"):
            continue
        name = key.removeprefix("qo1:resource:")
        if queue in stored.get("closed", "").split("\t"):
            closed.add(name)
            end = keys.get(f"qo1:timers:{queue}", {}).get(f"r{name}")
            assert end is not None, f"{name} is closed without an end"
            open_now = world.store.resource_snapshot(name, now_ms=world.now).gate is None
            assert not open_now or end <= latest_ms, f"{name} is closed though its gates are open"
        in_flight = sum(lease["resource"] == name for lease in _leases(keys))
        in_flight += sum(slot.startswith(f"{name}\t") for slot in keys.get("qo1:taken", ()))
        assert int(stored.get("n", 0)) == in_flight, f"slots of {name}"
    return closed


def _jobs(keys: dict[str, Any], lanes: Any, scheduled: Any, leases: list[dict[str, str]]) -> None:
    where: Counter[str] = Counter(f"{lease['queue']}:{lease['tag']}" for lease in leases)
    where.update(_blocked(keys))
    for key, tags in keys.items():
        if key.startswith("qo1:aside:"):
            where.update(f"{key.split(':')[2]}:{tag}" for tag in tags)
    for family in (lanes, scheduled):
        for queue, sets in family.items():
            for members in sets.values():
                where.update(f"{queue}:{tag}" for tag in members)
    jobs = {key.removeprefix("qo1:job:") for key in keys if key.startswith("qo1:job:")}
    assert not {job for job, number in where.items() if number > 1}, "a job in two places"
    assert set(where) == jobs, "a job without a place, or a place without a job"
    for entry in keys.get("qo1:ids", {}).values():
        assert ":".join(entry.split("\t")[:2]) in jobs, "an index entry without a job"
    _marks(keys)


def _blocked(keys: dict[str, Any]) -> set[str]:
    """Blocked jobs; who waits for whom is told the same from both sides."""
    blocked: set[str] = set()
    waits: set[tuple[str, str, str]] = set()
    for key, value in keys.items():
        if key.startswith("qo1:blocked:"):
            blocked |= {f"{key.split(':')[2]}:{tag}" for tag in value}
        elif key.startswith("qo1:parents:"):
            _, _, queue, tag = key.split(":")
            assert f"{queue}:{tag}" in (f"{queue}:{t}" for t in keys.get(f"qo1:blocked:{queue}", {})), (
                "parents of a job that is not blocked"
            )
            holds = {parent for parent in value if parent.startswith("!")}
            assert len(holds) <= 1, "held twice"
            waits |= {(queue, tag, parent) for parent in value - holds}
    children = {
        (key.split(":")[2], tag, key.split(":")[3])
        for key, value in keys.items()
        if key.startswith("qo1:children:")
        for tag in value
    }
    assert waits == children, "parents and children disagree"
    for job in blocked:
        queue, tag = job.split(":")
        assert keys.get(f"qo1:parents:{queue}:{tag}"), "blocked by nothing"
    return blocked


def _marks(keys: dict[str, Any]) -> None:
    ids, marks = keys.get("qo1:ids", {}), keys.get("qo1:marks", {})
    for queue, _, parent in {
        (key.split(":")[2], "", key.split(":")[3]) for key in keys if key.startswith("qo1:children:")
    }:
        if f"p{parent}" in keys.get(f"qo1:timers:{queue}", {}):
            continue  # it has ended, and its children are being released
        assert f"c{queue}" in marks.get(parent, "").split("\t"), "children whose parent does not know them"
        assert parent not in ids or ids[parent].endswith("\tm"), (
            "a parent whose end would not ask for its marks"
        )
    for task_id, items in marks.items():
        for item in items.split("\t"):
            if item[0] == "c":
                assert f"qo1:children:{item[1:]}:{task_id}" in keys, "a mark for no child"
            else:
                assert ids.get(task_id, "").endswith("\tm"), "a mark of a task that is gone"
    for key, value in keys.items():
        if key.startswith("qo1:unique:") and value.startswith("0\t"):
            holder, digest = value[2:], key.removeprefix("qo1:unique:")
            assert f"u{digest}" in marks.get(holder, "").split("\t"), "a unique key that nobody would give up"
    for task_id, entry in keys.get("qo1:cancelled", {}).items():
        assert ids.get(task_id) == entry.removesuffix("\ts") + "\tm", "a cancelled job that is gone"
