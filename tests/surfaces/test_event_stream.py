"""The stream of events where it is served by threads, under WSGI."""

from __future__ import annotations

import pytest
from celery import Celery

from queueops.api import sse
from queueops.ops import event_reader
from tests.support import letters

from .conftest import Login

pytestmark = pytest.mark.usefixtures("no_reader_stays")
URL = "/admin/queues/events/"


def test_a_thread_serves_one_stream(login: Login, app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.2)
    answer = login("view_jobs").get(URL)
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/event-stream")
    assert answer["Cache-Control"] == "no-cache, no-transform"
    told = iter(answer.streaming_content)
    assert next(told).startswith(b"retry: ")
    opened = next(text for text in told if not text.startswith(b":"))
    assert b"\nevent: open\n" in opened and opened.startswith(b"id: ")
    assert next(told).startswith(b":"), "still here, with nothing to tell"

    job = letters.publish(app, org="acme")
    enqueued = next(text for text in told if not text.startswith(b":")).decode()
    assert "\nevent: enqueued\n" in enqueued
    assert f'"task_id":"{job}"' in enqueued
    assert event_reader.reader.count() == 1
    answer.close()
    assert event_reader.reader.count() == 0


def test_a_client_that_never_read_leaves_nothing_behind(login: Login, app: Celery) -> None:
    answer = login("view_operations").get(URL + "?only=snapshots")
    assert event_reader.reader.count() == 1
    answer.close()
    assert event_reader.reader.count() == 0


@pytest.mark.parametrize("last_id", ["", "nonsense", "1-2-3", "9" * 30, "17"])
def test_an_id_that_no_stream_has_given_out_is_as_good_as_none(
    login: Login, app: Celery, last_id: str
) -> None:
    answer = login("view_jobs").get(URL, headers={"Last-Event-ID": last_id})
    told = iter(answer.streaming_content)
    next(told)
    assert b"\nevent: open\n" in next(told)
    if last_id == "17":
        assert next(told).startswith(b"event: gap\n")
    answer.close()
