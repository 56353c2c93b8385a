"""Who may read the metrics, of the web process and of the server of its own."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from celery import Celery
from django.conf import settings
from django.test import Client, override_settings

from queueops.errors import ConfigurationError
from queueops.metrics import server
from tests.surfaces.conftest import Login

REMOTE = {"REMOTE_ADDR": "192.0.2.7"}
WITH_TOKEN = {**settings.QUEUEOPS, "METRICS_TOKEN": "s3cret"}


def status(client: Client | None = None, **options: str) -> int:
    return int((client or Client()).get("/metrics", **options).status_code)  # type: ignore[arg-type]


def test_without_a_token_it_is_open_to_this_machine_alone(app: Celery) -> None:
    assert status() == 200
    assert status(REMOTE_ADDR="::1") == 200
    assert status(**REMOTE) == 401
    assert status(HTTP_X_FORWARDED_FOR="192.0.2.7") == 401, "a proxy on this machine asks for somebody else"
    with override_settings(DEBUG=True):
        assert status(**REMOTE) == 200


def test_with_a_token_it_is_open_to_who_brings_it(app: Celery) -> None:
    with override_settings(QUEUEOPS=WITH_TOKEN):
        assert status() == 401
        assert status(HTTP_AUTHORIZATION="Bearer wrong") == 401
        assert status(HTTP_AUTHORIZATION="s3cret") == 401
        assert status(**REMOTE, HTTP_AUTHORIZATION="Bearer s3cret") == 200
        with override_settings(DEBUG=True):
            assert status() == 401
        answer = Client().get("/metrics")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert b"s3cret" not in answer.content


def test_staff_who_may_see_operations_need_no_token(app: Celery, login: Login) -> None:
    with override_settings(QUEUEOPS=WITH_TOKEN):
        assert status(login("view_operations"), **REMOTE) == 200
        assert status(login(), **REMOTE) == 401


def test_only_reading_is_answered(app: Celery) -> None:
    assert Client().post("/metrics").status_code == 405
    assert Client().head("/metrics").status_code == 200
    open_metrics = Client().get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert open_metrics.content.endswith(b"# EOF\n")


@contextmanager
def serving() -> Iterator[str]:
    with server.made("127.0.0.1", 0) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join(timeout=5)


def fetched(address: str, **headers: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_server_of_its_own_says_the_same_to_the_same_people(app: Celery) -> None:
    with serving() as address:
        code, body = fetched(f"{address}/metrics")
        assert (code, b"queueops_up 1.0" in body) == (200, True)
        assert fetched(f"{address}/other")[0] == 404
        with override_settings(QUEUEOPS=WITH_TOKEN):
            assert fetched(f"{address}/metrics")[0] == 401
            assert fetched(f"{address}/metrics", Authorization="Bearer s3cret")[0] == 200


def test_the_server_refuses_to_be_open_to_everybody(app: Celery) -> None:
    with pytest.raises(ConfigurationError, match="QUEUEOPS_METRICS_TOKEN"):
        server.made("0.0.0.0", 0)
    # Its place is taken before it would listen: a machine's name that is not its own.
    with override_settings(QUEUEOPS=WITH_TOKEN), pytest.raises(OSError):
        server.made("192.0.2.7", 0)
