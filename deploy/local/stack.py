"""`make up` and `make dev`: prepare, start all that the Procfile names, keep it running, stop it cleanly.

python -m deploy.local.stack up|dev
"""

from __future__ import annotations

import os
import sys

from django.db import OperationalError
from honcho.environ import parse_procfile

from deploy.local import broker
from deploy.local.lock import AlreadyRunning, Lock
from deploy.local.paths import BIN, ROOT, VAR
from deploy.local.ports import HOST, answers, complaints, port
from deploy.local.prepare import admin_name, prepare
from deploy.local.supervisor import Supervisor

PROCFILES = {"up": "Procfile", "dev": "Procfile.dev"}
PORT_OF = {"broker": "BROKER_PORT", "web": "WEB_PORT", "flower": "FLOWER_PORT"}
BROKER_SECONDS = 60  # a long append-only file takes a while to read
START_SECONDS = 60
STOP_SECONDS = 60


def main(argv: list[str]) -> int:
    if len(argv) != 1 or argv[0] not in PROCFILES:
        print(__doc__, file=sys.stderr)
        return 2
    mode = argv[0]
    set_environment(mode)
    lock = Lock(VAR / "stack.lock")
    try:
        lock.acquire()
    except AlreadyRunning as error:
        print(error, file=sys.stderr)
        return 1
    commands = read_procfile(mode)
    if problems := obstacles(commands, lock.leftovers):
        print("\n".join(problems), file=sys.stderr)
        return 1
    return run(commands, lock)


def set_environment(mode: str) -> None:
    """Defaults of the local stack for this process and all it starts; environment and .env come first."""
    os.environ["PATH"] = f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"
    os.environ["PYTHONUNBUFFERED"] = "1"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("WORKER_CONCURRENCY", "2")
    if mode == "dev":
        os.environ.setdefault("DEBUG", "true")
    for name in ("BROKER_PORT", "WEB_PORT", "FLOWER_PORT"):
        os.environ[name] = str(port(name))


def read_procfile(mode: str) -> dict[str, str]:
    """Commands by name; without the broker when the environment names another one."""
    commands = dict(parse_procfile((ROOT / PROCFILES[mode]).read_text()).processes)
    if any(os.environ.get(name) for name in ("QUEUEOPS_BROKER_URL", "REDIS_URL")):
        commands.pop("broker")
    return commands


def obstacles(commands: dict[str, str], leftovers: dict[str, int]) -> list[str]:
    """Sentences about what prevents a start; none when nothing does."""
    problems = complaints([name for process, name in PORT_OF.items() if process in commands])
    if problems and leftovers:
        names = ", ".join(f"{name} ({pid})" for name, pid in leftovers.items())
        problems.append(
            f"An earlier stack was killed and left these processes: {names}. "
            f"End them with: kill {' '.join(map(str, leftovers.values()))}"
        )
    if "broker" not in commands:
        problems += broker.external_problems()
    elif not problems and broker.find_server() is None:
        problems.append(broker.NO_SERVER)
    return problems


def run(commands: dict[str, str], lock: Lock) -> int:
    """Prepare, run until a signal comes or something fails, stop; answers the exit code."""
    try:
        password = prepare()
    except OperationalError as error:
        print(f"The database does not answer: {str(error).strip()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    supervisor = Supervisor(dict(os.environ), str(ROOT), STOP_SECONDS, lock.write)
    supervisor.catch_signals()
    try:
        clean = start(supervisor, commands)
        if clean and not supervisor.signals:
            print(addresses(commands, password), flush=True)
            clean = supervisor.watch()
    finally:
        # Beat first, so that nothing new is due; the broker last, so that workers can give back and settle.
        others = [name for name in commands if name not in ("beat", "broker")]
        supervisor.stop(["beat"], others, ["broker"])
        lock.release()
    supervisor.say("everything has stopped")
    return 0 if clean else 1


def start(supervisor: Supervisor, commands: dict[str, str]) -> bool:
    """Start everything; False when something could not start, which is told. A signal is no failure."""
    begun = start_broker(supervisor, commands)
    if begun:
        start_others(supervisor, commands)
    for name, code in supervisor.ended().items():
        supervisor.say(f"{name} could not start (exit code {code}); stopping the others")
    return supervisor.signals > 0 or (begun and not supervisor.ended())


def start_broker(supervisor: Supervisor, commands: dict[str, str]) -> bool:
    """True when the broker answers."""
    if "broker" not in commands:
        return True
    supervisor.start("broker", commands["broker"])
    if supervisor.wait(broker.ready, BROKER_SECONDS):
        return True
    if not supervisor.must_stop():
        supervisor.say(f"the broker did not answer within {BROKER_SECONDS} s; its log is {broker.LOG}")
    return False


def start_others(supervisor: Supervisor, commands: dict[str, str]) -> None:
    """Start everything else; returns when it answers, or when that takes too long."""
    for name, command in commands.items():
        if name != "broker":
            supervisor.start(name, command)
    pages = [port(name) for process, name in PORT_OF.items() if process in commands]
    workers = sum(" worker " in command for command in commands.values())
    everything = supervisor.wait(
        lambda: all(map(answers, pages)) and workers_that_answer() >= workers, START_SECONDS
    )
    if not everything and not supervisor.must_stop():
        supervisor.say(f"not everything answers after {START_SECONDS} s; it may still come up")


def workers_that_answer() -> int:
    from config.celery import app

    try:
        return len(app.control.ping(timeout=1) or [])
    except Exception:  # a broker that has just gone shows in its process having ended
        return 0


def addresses(commands: dict[str, str], password: str | None) -> str:
    """What is where, and how to log in."""
    login = f"user {admin_name()}, "
    login += (
        f"password {password} (not shown again)"
        if password
        else "password as set; `make password` sets a new one"
    )
    web = f"http://{HOST}:{port('WEB_PORT')}"
    rows = [
        ("admin", f"{web}/admin/", login),
        ("queues", f"{web}/admin/queues/", "the dashboard, same login"),
        ("API", f"{web}/api/v1/admin/queue/docs", "same login, or a token"),
        ("metrics", f"{web}/metrics", "for Prometheus"),
    ]
    if "flower" in commands:
        rows.append(("Flower", f"http://{HOST}:{port('FLOWER_PORT')}/", "login: FLOWER_BASIC_AUTH in .env"))
    if "broker" in commands:
        rows.append(("broker", f"queueops://{HOST}:{port('BROKER_PORT')}/0", f"data in {broker.DATA}"))
    lines = [f"  {name:<8} {address:<45} {note}".rstrip() for name, address, note in rows]
    return "\n".join(["", "queueops is up", *lines, "  Ctrl-C stops everything.", ""])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
