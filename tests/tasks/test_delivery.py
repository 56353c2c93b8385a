"""Deliveries to a real HTTP server."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tasks import connection
from tasks.conf import WebhookSettings
from tasks.delivery import Answer, encode, post, signature_headers
from tasks.failures import AddressRefused, DeliveryFailed, InvalidEvent, PermanentFailure, TemporaryFailure
from tasks.signing import new_secret, sign, verify
from tests.support.ports import free_port

from .receiver import Receiver, Request, answer

CERTIFICATE = str(Path(__file__).with_name("receiver.pem"))
PATIENT = WebhookSettings(connect_timeout=5, read_timeout=5, total_timeout=10)


def deliver(url: str, body: bytes = b"{}", limits: WebhookSettings = PATIENT, **headers: str) -> Answer:
    return post(url, body, headers, allow_private=True, limits=limits)


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let ``receiver.example`` resolve to loopback; the list holds the names that were looked up."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host != "127.0.0.1":
            asked.append(host)
        return real("127.0.0.1" if host == "receiver.example" else host, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_the_receiver_gets_the_body_as_it_was_signed(receiver: Receiver) -> None:
    body, secret = encode({"text": "größer ☃ \ud800", "n": 1.5}), new_secret()
    receiver.handle = answer(202, b"taken")

    result = deliver(receiver.url, body, **sign(secret, "event-1", body))

    assert result == Answer(202, "taken")
    (request,) = receiver.requests
    assert (request.method, request.path, request.body) == ("POST", "/hooks", body)
    assert verify(secret, request.headers, request.body) == "event-1"
    assert request.headers["content-type"] == "application/json"
    assert "transfer-encoding" not in request.headers


def test_a_temporary_answer_carries_what_the_receiver_asked_for(receiver: Receiver) -> None:
    receiver.handle = answer(503, b"down for an hour", retry_after="3600")
    with pytest.raises(TemporaryFailure) as caught:
        deliver(receiver.url)
    assert (caught.value.status, caught.value.retry_after) == (503, 3600.0)
    assert caught.value.excerpt == "down for an hour"


def test_a_permanent_answer_is_one(receiver: Receiver) -> None:
    receiver.handle = answer(410, b"gone")
    with pytest.raises(PermanentFailure) as caught:
        deliver(receiver.url)
    assert (caught.value.status, caught.value.excerpt) == (410, "gone")


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    with Receiver() as elsewhere:
        receiver.handle = answer(307, location=elsewhere.url)
        with pytest.raises(PermanentFailure) as caught:
            deliver(receiver.url)
        assert caught.value.status == 307
        assert elsewhere.requests == []


def test_nobody_listening_is_temporary() -> None:
    with pytest.raises(TemporaryFailure, match="No answer: ConnectError"):
        deliver(f"http://127.0.0.1:{free_port()}/")


def test_a_private_address_is_refused_before_anything_is_sent(receiver: Receiver, named: list[str]) -> None:
    for host in ("127.0.0.1", "receiver.example"):
        with pytest.raises(AddressRefused, match="loopback"):
            post(f"http://{host}:{receiver.port}/", b"{}", {}, allow_private=False, limits=PATIENT)
    assert receiver.requests == []


def test_a_name_is_looked_up_once_and_kept_as_the_host(receiver: Receiver, named: list[str]) -> None:
    deliver(f"http://receiver.example:{receiver.port}/hooks")
    assert named == ["receiver.example"]
    assert receiver.requests[0].headers["host"] == f"receiver.example:{receiver.port}"


def test_a_second_answer_of_the_name_server_is_never_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a name that is public when it is checked and loopback when it is asked again
    answers = iter(["192.0.2.1", "127.0.0.1"])
    real, asked = socket.getaddrinfo, []

    def rebinding(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host == "rebind.example":
            asked.append(host)
            return real(next(answers), port, *args, **options)
        return real(host, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr("queueops.ops.addresses.refusal", lambda address, allow_private=False: None)
    # When it is delivered to, the connection goes to the checked address, where nobody answers
    with pytest.raises(TemporaryFailure):
        deliver(
            f"http://rebind.example:{receiver.port}/",
            limits=WebhookSettings(connect_timeout=0.3, total_timeout=1),
        )
    # Then loopback has seen nothing
    assert asked == ["rebind.example"]
    assert receiver.requests == []


def test_a_proxy_of_the_environment_is_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        deliver(receiver.url)
        assert proxy.requests == []
    assert len(receiver.requests) == 1


def test_tls_verifies_the_name_of_the_url(named: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    trusting = ssl.create_default_context(cafile=CERTIFICATE)
    monkeypatch.setattr(connection, "_tls", lambda: trusting)
    with Receiver(certificate=CERTIFICATE) as server:
        assert deliver(f"https://receiver.example:{server.port}/").status == 200
        # The same server by its address: the certificate does not name that.
        with pytest.raises(TemporaryFailure, match="certificate verify failed"):
            deliver(f"https://127.0.0.1:{server.port}/")


def test_a_certificate_that_nobody_knows_is_refused(named: list[str]) -> None:
    with (
        Receiver(certificate=CERTIFICATE) as server,
        pytest.raises(TemporaryFailure, match="certificate verify failed"),
    ):
        deliver(f"https://receiver.example:{server.port}/")
    assert server.requests == []


def test_a_silent_receiver_ends_the_attempt(receiver: Receiver) -> None:
    release = threading.Event()
    receiver.handle = lambda handler, request: release.wait(20) and None
    with pytest.raises(TemporaryFailure, match="ReadTimeout"):
        deliver(receiver.url, limits=WebhookSettings(read_timeout=0.1))
    release.set()


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_receiver_that_drips_its_answer_is_cut_off_by_the_total_time(receiver: Receiver, part: str) -> None:
    release = threading.Event()

    def drip(handler: Any, request: Request) -> None:
        if part == "body":
            handler.wfile.write(b"HTTP/1.1 500 No\r\nContent-Length: 100000\r\n\r\n")
        while not release.wait(0.02):
            handler.wfile.write(b"H")

    receiver.handle = drip
    started = time.monotonic()
    with pytest.raises(TemporaryFailure) as caught:
        deliver(receiver.url, limits=WebhookSettings(read_timeout=5, total_timeout=3))
    release.set()
    assert time.monotonic() - started < 15
    # An answer whose head has come counts, though its body never ended.
    assert caught.value.status == (500 if part == "body" else None)


def test_only_the_beginning_of_a_long_answer_is_read_and_kept(receiver: Receiver) -> None:
    sent = 0

    def flood(handler: Any, request: Request) -> None:
        nonlocal sent
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        for _ in range(1_000):
            handler.wfile.write(b"\x00\xff" + "ü".encode() * 499_999)
            sent += 1_000_000

    receiver.handle = flood
    result = deliver(receiver.url, limits=WebhookSettings(excerpt_chars=50))
    assert len(result.excerpt) == 50
    assert result.excerpt.startswith("��üüü")
    assert sent < 100_000_000


@pytest.mark.parametrize("url", ["ftp://hooks.example/", "http://u:p@127.0.0.1/", "http://", "nonsense"])
def test_a_url_that_cannot_be_used_is_a_permanent_failure(url: str) -> None:
    with pytest.raises(PermanentFailure):
        deliver(url)


@pytest.mark.parametrize("payload", [float("nan"), float("inf"), {"a": {1, 2}}, b"bytes"])
def test_what_is_not_json_is_a_permanent_failure(payload: object) -> None:
    with pytest.raises(InvalidEvent, match="cannot be written as JSON"):
        encode(payload)


class TestPrecomputedHeaders:
    body = b'{"n":1}'
    secret = new_secret()

    def headers(self, precomputed: dict[str, str] | None, body: bytes = body) -> dict[str, str]:
        return signature_headers(self.secret, "event-1", body, precomputed, max_age=120)

    def test_are_reused_while_a_receiver_would_take_them(self) -> None:
        precomputed = sign(self.secret, "event-1", self.body, at=time.time() - 60)
        assert self.headers(precomputed) == precomputed

    @pytest.mark.parametrize(
        ("secret", "event_id", "age", "body"),
        [
            (secret, "event-1", 600, body),
            (new_secret(), "event-1", 0, body),
            (secret, "event-2", 0, body),
            (secret, "event-1", 0, b"edited"),
        ],
        ids=["too old", "another secret", "another event", "another body"],
    )
    def test_are_replaced_where_a_receiver_would_refuse_them(
        self, secret: str, event_id: str, age: float, body: bytes
    ) -> None:
        precomputed = sign(secret, event_id, body, at=time.time() - age)
        fresh = self.headers(precomputed)
        assert fresh != precomputed
        assert verify(self.secret, fresh, self.body, tolerance=5) == "event-1"

    @pytest.mark.parametrize("precomputed", [None, {}, {"webhook-id": "event-1"}])
    def test_are_made_where_there_are_none(self, precomputed: dict[str, str] | None) -> None:
        assert verify(self.secret, self.headers(precomputed), self.body, tolerance=5) == "event-1"

    def test_with_other_names_are_refused(self) -> None:
        with pytest.raises(InvalidEvent, match="not host"):
            self.headers({"host": "internal"})


def test_every_failure_of_a_delivery_is_in_one_tree() -> None:
    assert issubclass(TemporaryFailure, DeliveryFailed) and issubclass(PermanentFailure, DeliveryFailed)
    assert issubclass(AddressRefused, PermanentFailure) and issubclass(InvalidEvent, PermanentFailure)
