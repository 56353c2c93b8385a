"""Free ports on the loopback address."""

from __future__ import annotations

import errno
import random
import socket

HOST = "127.0.0.1"
#: Below the ports that the kernel gives to connections, of which one may take a port between look and bind.
FIRST, LAST = 20_000, 32_000


def free_port() -> int:
    """Return a port nobody listens on. It is drawn from a wide range, so test runs side by side rarely meet;
    whoever binds it takes another one when they do."""
    drawn = random.SystemRandom()
    while True:
        port = drawn.randrange(FIRST, LAST)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return port
