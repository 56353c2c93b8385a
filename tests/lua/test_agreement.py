"""Layouts that are written down twice, in Python and in Lua, agree."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from queueops.engine import history
from queueops.engine.rules import histogram
from queueops.engine.rules.envelope import NAME_LIMIT, NewJob, pack, unpack
from queueops.engine.rules.gates import GATES, Limits, pack_limits
from queueops.engine.scripts import expand, read, with_keys
from tests.support.valkey import Valkey

NAMES = st.from_regex(r"[A-Za-z0-9._@-]{1,128}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=NAME_LIMIT // 4)
NUMBERS = st.integers(0, 10**13)
JOBS = st.builds(
    NewJob,
    tag=NAMES,
    task_id=TEXTS,
    task=TEXTS,
    org=NAMES,
    message=st.text(st.characters(exclude_categories=["Cs"])),
    resource=st.one_of(st.just(""), NAMES),
    patience_ms=NUMBERS,
    deadline_ms=NUMBERS,
    once=st.booleans(),
    expires_late=st.booleans(),
    run_limit_ms=NUMBERS,
    first_ms=NUMBERS,
    attempt=st.integers(0, 1000),
)


@pytest.fixture(scope="module")
def client(shared_valkey: Valkey) -> redis.Redis:
    """A client of the run's server."""
    return redis.Redis(port=shared_valkey.port)


@given(job=JOBS)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_a_head_packed_by_python_is_read_by_lua(client: redis.Redis, job: NewJob) -> None:
    packed = pack(job)
    script = expand('--- @include "lib/head"\nreturn cjson.encode(head.parse(ARGV[1]:sub(1, head.BYTES)))')

    parsed = json.loads(client.eval(script, 0, packed))

    head, message = unpack(packed)
    assert message == job.message
    flags = parsed.pop("flags")
    expected = asdict(head)
    assert expected.pop("once") == ("o" in flags) == job.once
    assert expected.pop("expires_late") == ("x" in flags) == job.expires_late
    assert parsed == {
        "deliveries": 0,
        "org": job.org,
        "resource": job.resource,
        "task": job.task,
        "task_id": job.task_id,
        "patience": job.patience_ms,
        "deadline": job.deadline_ms,
        "run_limit": job.run_limit_ms,
        "first": job.first_ms,
        "attempt": job.attempt,
    }
    assert list(expected.values()) == list(parsed.values()) or set(expected.values()) == set(parsed.values())


@given(job=JOBS)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_a_claim_reads_the_same_of_a_head(client: redis.Redis, job: NewJob) -> None:
    script = expand('--- @include "lib/head"\nreturn { head.for_lease(ARGV[1]) }')

    deliveries, names, task, task_id, patience, flags, first, attempt = client.eval(script, 0, pack(job))

    assert (deliveries, task.decode(), task_id.decode()) == (b"00", job.task, job.task_id)
    assert names.decode().split("\t") == [job.org, job.resource, job.task, job.task_id]
    assert (int(patience), int(first)) == (job.patience_ms, job.first_ms)
    assert flags.decode() == "o" * job.once + "x" * job.expires_late
    assert int(attempt) == job.attempt


def test_a_lease_record_is_read_as_it_was_written(client: redis.Redis) -> None:
    script = expand(
        '--- @include "lib/record"\n'
        "return cjson.encode(record.all(record.read(record.write('q', 't', 'org\\t\\ta.b\\tid', 77,"
        " 100 / 3, 12.5, '1800000001234', 1800000000000, 2, '4', 'o'))))"
    )

    parsed = json.loads(client.eval(script, 0))

    del parsed["rest"]
    assert parsed == {
        "queue": "q",
        "tag": "t",
        "org": "org",
        "resource": "",
        "task": "a.b",
        "task_id": "id",
        "rank": "1800000001234",
        "claimed": 1800000000000,
        "waited": "77",
        "charged": 33.333333333333,
        "counted": 12.5,
        "deliveries": 2,
        "attempt": "4",
        "flags": "o",
    }


@pytest.mark.parametrize(
    "limits",
    [
        Limits(),
        Limits(weight=0.1),
        Limits(rpm=700),
        Limits(rpm=700, burst=20, max_in_flight=0, share=1 / 3),
        Limits(until_ms=1_800_000_000_001, max_in_flight=7),
    ],
)
def test_limits_packed_by_python_are_read_by_lua(client: redis.Redis, limits: Limits) -> None:
    script = expand(
        'local now = { ms = 1800000000000 }\n--- @include "lib/limits"\n'
        "local l = limits.parse(ARGV[1])\nl.any = nil\n"
        "for name, value in pairs(l) do l[name] = string.format('%.17g', value) end\nreturn cjson.encode(l)"
    )
    packed = pack_limits(limits)

    parsed = {
        name: float(value) for name, value in json.loads(client.eval(with_keys(script), 0, packed)).items()
    }

    expected = {
        "weight": limits.weight,
        "interval": limits.rpm and 60_000_000 / limits.rpm,
        "burst": limits.rpm and (limits.burst or 1),
        "cap": limits.max_in_flight,
        "share": limits.share,
        "until_ms": limits.until_ms or None,
    }
    assert parsed == {name: value for name, value in expected.items() if value is not None}


def test_durations_are_counted_in_the_same_buckets(client: redis.Redis) -> None:
    found = re.search(r"BOUNDS_MS = {([^}]*)}", read("lib/fold"))

    assert found and tuple(int(bound) for bound in found[1].split(",")) == histogram.BOUNDS_MS
    assert f"history.FOLD = {history.FOLD} " in read("lib/history")


def test_the_gates_that_close_are_those_python_knows() -> None:
    text = read("lib/gates") + read("lib/resources") + read("snapshot")

    assert {gate for gate in GATES if f"'{gate}'" in text} == set(GATES)
