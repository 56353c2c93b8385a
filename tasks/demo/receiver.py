"""The customers' side: an HTTP server that verifies signatures and remembers what it took."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from tasks.signing import SignatureRefused, verify

TAKEN, UNSIGNED, BROKEN = 204, 401, 503
#: Of the broken endpoint's events every third is answered with Retry-After when it comes first.
_ASKS_EVERY = 3


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request: *at* is in seconds of the monotonic clock, *retry_after* what it was asked to wait."""

    org: str
    event_id: str
    at: float
    status: int
    digest: str
    retry_after: int | None = None


class Receiver:
    """Listens on a free loopback port; each org that :meth:`serve` names has its own path there.

    *retry_after* is the whole number of seconds that a broken endpoint asks for now and then.
    """

    def __init__(self, retry_after: int) -> None:
        self._secrets: dict[str, str] = {}
        self.retry_after = retry_after
        self._broken: set[str] = set()
        self._arrivals: list[Arrival] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.receiver = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="receiver")

    def serve(self, org: str, secret: str) -> str:
        """Take the org's events, signed with *secret*, from now on; returns the URL of its endpoint."""
        self._secrets[org] = secret
        return f"http://127.0.0.1:{self._server.server_address[1]}/{org}"

    def break_down(self, org: str) -> None:
        """Let the org's endpoint answer 503 from now on."""
        self._broken.add(org)

    def mend(self, org: str) -> None:
        """Let the org's endpoint take events again."""
        self._broken.discard(org)

    def arrivals(self) -> list[Arrival]:
        """Return all requests so far, in the order of their arrival."""
        with self._lock:
            return list(self._arrivals)

    def take(self, org: str, headers: Mapping[str, str], body: bytes) -> Arrival:
        """Verify one request, remember it, and return it with the status to answer."""
        try:
            event_id = verify(self._secrets.get(org, ""), headers, body)
        except (SignatureRefused, ValueError):
            event_id = ""
        with self._lock:
            status = UNSIGNED if not event_id else BROKEN if org in self._broken else TAKEN
            asks = self.retry_after if status == BROKEN and self._asks(org, event_id) else None
            digest = hashlib.sha256(body).hexdigest()
            arrival = Arrival(org, event_id, time.monotonic(), status, digest, asks)
            self._arrivals.append(arrival)
        return arrival

    def _asks(self, org: str, event_id: str) -> bool:
        seen = {arrival.event_id for arrival in self._arrivals if arrival.org == org}
        return event_id not in seen and len(seen) % _ASKS_EVERY == 0

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    receiver: Receiver
    daemon_threads = True
    # The default of 5 would refuse connections of a worker with more processes than that.
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        arrival = self.server.receiver.take(self.path.removeprefix("/"), dict(self.headers.items()), body)
        self.send_response(arrival.status)
        if arrival.retry_after is not None:
            self.send_header("Retry-After", str(arrival.retry_after))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the demonstration prints what happened itself."""
