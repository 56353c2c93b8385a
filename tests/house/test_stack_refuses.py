"""`make up` says what is in its way, and touches nothing of it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import ports
from deploy.local.lock import AlreadyRunning, Lock
from tests.support.ports import free_port

from .support import NAMES, environment, python


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    numbers = {name: str(free_port()) for name in NAMES}
    return environment(SECRET_KEY="x", QUEUEOPS_VAR=str(tmp_path), **numbers)


def up(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return python("-m", "deploy.local.stack", "up", env=env)


def test_started_twice_it_refuses_and_names_the_first(env: dict[str, str], tmp_path: Path) -> None:
    first = Lock(tmp_path / "stack.lock")
    first.acquire()

    result = up(env)

    assert result.returncode == 1
    assert f"already running (pid {os.getpid()})" in result.stderr
    first.release()


def test_a_port_that_is_taken_is_named_with_its_owner(env: dict[str, str], tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(env["WEB_PORT"])))
        other.listen()

        result = up(env)

    assert result.returncode == 1
    assert f"Port {env['WEB_PORT']} (WEB_PORT) is taken" in result.stderr
    if sys.platform == "linux":
        assert f"(pid {os.getpid()})" in result.stderr
    assert not (tmp_path / "db.sqlite3").exists(), "it began before it looked"


def test_processes_of_a_killed_stack_are_named(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "stack.lock").write_text(f'{{"stack": 1, "broker": {os.getpid()}}}')
    with socket.socket() as broker:
        broker.bind(("127.0.0.1", int(env["BROKER_PORT"])))
        broker.listen()

        result = up(env)

    assert f"left these processes: broker ({os.getpid()})" in result.stderr
    assert f"kill {os.getpid()}" in result.stderr


def test_a_broker_that_does_not_answer_is_named_without_its_password(env: dict[str, str]) -> None:
    env["QUEUEOPS_BROKER_URL"] = f"queueops://:hidden@127.0.0.1:{free_port()}/0"

    result = up(env)

    assert result.returncode == 1
    assert "does not answer" in result.stderr
    assert "hidden" not in result.stderr


def test_a_database_that_does_not_answer_is_named(env: dict[str, str]) -> None:
    number = free_port()
    env["DATABASE_URL"] = f"postgres://somebody:hidden@127.0.0.1:{number}/queueops"

    result = up(env)

    assert result.returncode == 1
    assert "The database does not answer" in result.stderr and str(number) in result.stderr
    assert "Traceback" not in result.stderr and "hidden" not in result.stderr


def test_the_lock_is_free_again_when_its_holder_is_gone(tmp_path: Path) -> None:
    holder = "from pathlib import Path; from deploy.local.lock import Lock; Lock(Path({!r})).acquire()"
    assert python("-c", holder.format(str(tmp_path / "lock")), env=environment()).returncode == 0

    lock = Lock(tmp_path / "lock")
    lock.acquire()

    with pytest.raises(AlreadyRunning):
        Lock(tmp_path / "lock").acquire()
    lock.release()


def test_a_suggested_port_is_free() -> None:
    taken = free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", taken))
        other.listen()

        assert not ports.is_free(taken)
        assert ports.is_free(ports.suggestion(taken))
