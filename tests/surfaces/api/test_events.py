"""Events over the API: a token is enough, and the stream says what happens."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from celery import Celery
from django.test import AsyncClient

from queueops.models import Scope
from tests.support import letters

from .conftest import BASE, Caller, Issue

pytestmark = pytest.mark.usefixtures("no_reader_stays")


def test_what_happens_is_told_to_who_has_a_token(app: Celery, api: Caller) -> None:
    response = api("GET", "events")
    assert response.status_code == 200
    assert response["Content-Type"] == "text/event-stream"
    told = iter(response)
    try:
        assert b"retry:" in next(told)
        seen = b""
        while b"event: open" not in seen:
            seen += next(told)
        letters.publish(app, 1, org="acme")
        while b"event: enqueued" not in seen:
            seen += next(told)
        assert b'"org":"acme"' in seen
    finally:
        response.close()


def test_the_same_under_asgi(app: Celery, api: Caller) -> None:
    async def first() -> tuple[int, bytes]:
        headers: Any = {"Authorization": f"Bearer {api.secret}"}
        response = await AsyncClient().get(BASE + "events", headers=headers)
        parts = [part async for part in _some(response.streaming_content, 2)]
        await sync_to_async(response.close)()
        return response.status_code, b"".join(parts)

    status, told = asyncio.run(asyncio.wait_for(first(), 30))
    assert status == 200 and b"retry:" in told and b"event: " in told


async def _some(parts: Any, number: int) -> Any:
    async for part in parts:
        yield part
        number -= 1
        if not number:
            return


def test_who_may_not_see_jobs_or_asks_for_what_is_not_there_gets_a_problem(app: Celery, issue: Issue) -> None:
    issue(scope=Scope.READ).refused(403, "GET", "events")
    caller = issue("view_jobs", scope=Scope.READ)
    assert caller.refused(404, "GET", "events?queue=nowhere")["type"].endswith(":unknown-queue")
    Caller().refused(401, "GET", "events")


@pytest.mark.parametrize("path", ["", "docs", "jobs"])
def test_other_routes_answer_under_asgi_too(app: Celery, api: Caller, path: str) -> None:
    async def ask() -> int:
        headers: Any = {"Authorization": f"Bearer {api.secret}"}
        return int((await AsyncClient().get(BASE + path, headers=headers)).status_code)

    assert asyncio.run(ask()) == (404 if path == "" else 200)
