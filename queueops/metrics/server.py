"""A server of its own for `/metrics`, where no web process runs or Prometheus cannot reach it: `queueops
metrics serve`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.conf import settings

from queueops.conf import config
from queueops.errors import ConfigurationError
from queueops.metrics.access import is_loopback, is_open_to
from queueops.metrics.exposition import exposition
from queueops.ops.connections import released
from queueops.ops.permissions import Actor

__all__ = ["ADDRESS", "PORT", "made", "serve"]

ADDRESS, PORT = "127.0.0.1", 9808


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a line every few seconds tells nobody anything."""


def serve(
    address: str = ADDRESS, port: int = PORT, *, told: Callable[[str], None] = lambda line: None
) -> None:
    """Serve `/metrics` until the process is asked to stop.

    Args:
        address: to listen on. Other than loopback it wants a token (see `access`), except under DEBUG.
        port: 0 is any free one.
        told: is called once with a line that says where.

    Raises:
        ConfigurationError: it would be open to everybody.
        OSError: the address is taken, or not this machine's.
    """
    with made(address, port) as server:
        host = f"[{address}]" if ":" in address else address
        told(f"Metrics on http://{host}:{server.server_port}/metrics")
        server.serve_forever()


def made(address: str = ADDRESS, port: int = PORT) -> WSGIServer:
    """Return the server, listening; `serve_forever` answers. Raises as `serve`."""
    if not is_loopback(address) and config().metrics_token is None and not settings.DEBUG:
        raise ConfigurationError(
            f"Metrics on {address} would be open to everybody: set QUEUEOPS_METRICS_TOKEN, or listen on "
            f"{ADDRESS}."
        )
    kind = _ServerV6 if ":" in address else _Server
    return make_server(address, port, _answer, server_class=kind, handler_class=_Quiet)


def _answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    plain = [("Content-Type", "text/plain; charset=utf-8")]
    if environ["PATH_INFO"] not in ("/", "/metrics"):
        start("404 Not Found", plain)
        return [b"The metrics are at /metrics.\n"]
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    if not is_open_to(environ.get("REMOTE_ADDR", ""), headers):
        start("401 Unauthorized", [*plain, ("WWW-Authenticate", "Bearer")])
        return [b"Send the token of QUEUEOPS_METRICS_TOKEN as Authorization: Bearer.\n"]
    with released():
        body, content_type = exposition(Actor.system("metrics"), headers.get("accept", ""))
    start("200 OK", [("Content-Type", content_type), ("Content-Length", str(len(body)))])
    return [body]
