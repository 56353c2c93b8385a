"""How somebody is told of an alert: by mail, and by a webhook."""

from __future__ import annotations

import json
import logging
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from django.core.mail import send_mail

from queueops.conf import config
from queueops.errors import QueueOpsError
from queueops.ops.addresses import check_url, checked_addresses

__all__ = ["Notice", "post", "send"]

logger = logging.getLogger("queueops.alerts")

#: A receiver has so long for each step: its name, the connection, the answer.
POST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Notice:
    """That something is wrong, or right again.

    Attributes:
        event: "begin" or "end".
        kind: "unhealthy", "dead_letters", "no_worker" or "broker".
        queue: the queue that it is about, "" for the broker.
        text: one sentence for a person.
        since: since when it was wrong. at: now.
    """

    event: str
    kind: str
    queue: str
    text: str
    since: datetime
    at: datetime

    @property
    def subject(self) -> str:
        """The subject of a mail."""
        what = self.queue or "broker"
        return f"[queueops] {what}: {'wrong' if self.event == 'begin' else 'right again'} ({self.kind})"


def send(notice: Notice) -> bool:
    """Tell everybody whom ALERTS names; returns whether anybody was told. Failures are logged."""
    settings = config().alerts
    done = False
    if settings.mail:
        try:
            text = f"{notice.text}\n\nSince {notice.since.isoformat(timespec='seconds')}.\n"
            send_mail(notice.subject, text, None, list(settings.mail))
            done = True
        except Exception:  # of whatever mail backend the project has
            logger.exception("The mail could not be sent: %s", notice.subject)
    if settings.webhook:
        try:
            post(settings.webhook, _body(notice))
            done = True
        except (OSError, HTTPException, QueueOpsError, ValueError) as error:
            logger.error("The webhook could not be told: %s (%s)", notice.subject, error)
    return done


def _body(notice: Notice) -> Mapping[str, Any]:
    return {
        "event": notice.event,
        "kind": notice.kind,
        "queue": notice.queue,
        "text": f"{notice.subject}: {notice.text}",
        "since": notice.since.isoformat(),
        "at": notice.at.isoformat(),
    }


def post(url: str, body: Mapping[str, Any]) -> None:
    """Send JSON to a URL. Redirects are not followed, and proxies of the environment not used.

    Raises:
        AddressRefused: the URL may not be reached; see ALLOW_PRIVATE_ADDRESSES.
        OSError: nobody answers, or not with a success.
        HTTPException: the answer is no HTTP.
        ValueError: the URL cannot be sent, as one with letters beyond ASCII.
    """
    allowed = config().allow_private_addresses
    check_url(url, allow_private=allowed)
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # To the address that was checked, not to the name: a second look-up could answer differently.
    [address, *_] = checked_addresses(host, port, timeout=POST_SECONDS, allow_private=allowed)
    connection = HTTPConnection(host, port, timeout=POST_SECONDS)
    plain = socket.create_connection((str(address), port), POST_SECONDS)
    try:
        connection.sock = (
            ssl.create_default_context().wrap_socket(plain, server_hostname=host) if secure else plain
        )
        named = parts.netloc
        connection.request(
            "POST",
            path,
            json.dumps(body).encode(),
            {"Host": named, "Content-Type": "application/json", "User-Agent": "queueops-alerts"},
        )
        answer = connection.getresponse()
        if not 200 <= answer.status < 300:
            raise OSError(f"{host} answered {answer.status} {answer.reason}")
    finally:
        connection.close()
        plain.close()
