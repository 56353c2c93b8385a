"""Is a port of the local stack free, and if not, who has it?"""

from __future__ import annotations

import os
import socket
from pathlib import Path

HOST = "127.0.0.1"
# The broker is not on 6379: a Redis that is already installed keeps its port.
PORTS = {"BROKER_PORT": 6390, "WEB_PORT": 8000, "FLOWER_PORT": 5555}


def port(name: str) -> int:
    """The port that the environment names, else the usual one."""
    return int(os.environ.get(name) or PORTS[name])


def complaints(names: list[str]) -> list[str]:
    """One sentence for each of these ports (names of PORTS) that somebody else already has."""
    found = []
    for name in names:
        number = port(name)
        if not is_free(number):
            by = owner(number)
            found.append(
                f"Port {number} ({name}) is taken{f' by {by}' if by else ''}. "
                f"Stop that process, or choose another port: make up {name}={suggestion(number)}"
            )
    return found


def is_free(number: int) -> bool:
    """True when a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        # Connections of an earlier server that linger in TIME_WAIT are no obstacle to a new one.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, number))
        except OSError:
            return False
    return True


def answers(number: int) -> bool:
    """True when something accepts connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, number)) == 0


def suggestion(number: int) -> int:
    return next((other for other in range(number + 1, number + 100) if is_free(other)), number + 1)


def owner(number: int) -> str:
    """ "name (pid 123)" of the process that listens on the port; "" where the system does not tell."""
    inodes = listening_inodes(number)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            links = {os.readlink(entry) for entry in (process / "fd").iterdir()}
            if inodes & links:
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue  # it ended meanwhile, or belongs to somebody else
    return ""


def listening_inodes(number: int) -> set[str]:
    """The sockets that listen on the port, named as in /proc/PID/fd; empty where there is no /proc."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, rows):
            listening = fields[3] == "0A"
            if listening and int(fields[1].rpartition(":")[2], 16) == number:
                found.add(f"socket:[{fields[9]}]")
    return found
