"""Broker or database away: a scrape says so, and is no error."""

from __future__ import annotations

from celery import Celery
from django.db import connections
from django.test import Client

from tests.support import site
from tests.support.valkey import Valkey

from .conftest import parsed


def test_a_broker_that_is_away_is_up_0_and_nothing_else_of_it(database: None, durable_valkey: Valkey) -> None:
    with site.celery_app(durable_valkey.broker_url):
        assert parsed(Client().get("/metrics").content.decode()).get("queueops_up") == 1
        durable_valkey.kill()

        answer = Client().get("/metrics")

        said = parsed(answer.content.decode())
        assert answer.status_code == 200
        assert said.get("queueops_up") == 0
        assert said.names == {"queueops_up", "queueops_info", "queueops_scrape_duration_seconds"}
        durable_valkey.start()
        assert parsed(Client().get("/metrics").content.decode()).get("queueops_up") == 1


def test_a_database_that_is_away_leaves_out_what_it_holds(app: Celery) -> None:
    away = connections.configure_settings(
        {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/nonexistent/db.sqlite3"}}
    )["default"]
    before = connections.databases["default"]
    site._use(away)
    try:
        answer = Client().get("/metrics")
    finally:
        site._use(before)

    said = parsed(answer.content.decode())
    assert (answer.status_code, said.get("queueops_up"), said.get("queueops_database_up")) == (200, 1, 0)
    assert said.get("queue_depth", queue="standard", state="ready") == 0
    assert said.get("queue_depth", queue="standard", state="dead") is None
    assert said.get("queueops_schedules", enabled="true") is None
