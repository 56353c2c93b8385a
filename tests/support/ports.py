"""Free ports on the loopback address."""

from __future__ import annotations

import socket

HOST = "127.0.0.1"


def free_port() -> int:
    """Return a port nobody listens on. The kernel hands them out in a wide range, so test runs side by side
    rarely meet; whoever binds it takes another one when they do."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
