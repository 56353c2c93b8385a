"""The dashboard over Django's test client, on a real database and a real broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from django.contrib.messages import get_messages
from django.test import Client

from queueops.engine.store import Store
from queueops.ops import broker
from tests.surfaces.conftest import Login, app, client, database, login, project

__all__ = ["Login", "Press", "app", "client", "database", "login", "project"]

BASE = "/admin/queues/"
Press = Callable[..., list[str]]


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


@pytest.fixture
def press(client: Client) -> Press:
    """Press a button as a browser does; returns what the person is told, with the kind of the message."""

    def pressed(name: str, /, **given: Any) -> list[str]:
        response = client.post(f"{BASE}do/{name}/", {**given, "next": f"{BASE}jobs/"})
        assert response.status_code == 302, response.content.decode()
        assert response.headers["Location"] == f"{BASE}jobs/"
        return [f"{one.level_tag}: {one}" for one in get_messages(response.wsgi_request)][-1:]

    return pressed


def register(store: Store, *queues: str, slots: int = 8, name: str = "all-1@app-1") -> str:
    """Put a worker that does not exist into the broker; returns the holder of its leases."""
    holder = f"{name}:1:x"
    info = {
        "hostname": "app-1",
        "pid": 1,
        "queues": list(queues) or ["standard"],
        "slots": slots,
        "version": "1",
        "started_ms": 1,
        "node": name,
        "lease_ms": 30_000,
    }
    store.renew(holder, {}, answered=0, registration=info)
    return holder
