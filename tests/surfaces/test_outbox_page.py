"""The outbox in admin: read, retried, discarded, and never typed over."""

from __future__ import annotations

import pytest
from celery import Celery
from django.db import transaction
from django.test import Client

from queueops.models import AuditEntry, OutboxEntry
from queueops.ops import relay
from queueops.ops.in_transaction import enqueue_in_transaction
from tests.surfaces.conftest import Login

LIST = "/admin/queueops/outboxentry/"


@pytest.fixture
def entries(app: Celery, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Two rows that the broker has refused, and one that waits for it."""
    monkeypatch.setattr(relay, "_away_until", float("inf"))
    with transaction.atomic():
        for n in range(3):
            enqueue_in_transaction("shop.note", (n,), {"card": "4111"}, org="acme")
    keys = list(OutboxEntry.objects.order_by("id").values_list("pk", flat=True))
    refused = OutboxEntry.objects.filter(pk__in=keys[:2])
    refused.update(refused_at="2026-01-01T00:00:00Z", error="UnknownParent: gone", tries=1)
    return keys


def test_what_was_refused_is_seen_with_its_reason_and_without_its_payload(
    client: Client, entries: list[int]
) -> None:
    page = client.get(LIST).content.decode()
    assert page.count("UnknownParent: gone") == 2 and "acme" in page
    assert client.get(f"{LIST}?state=waiting").content.decode().count("UnknownParent: gone") == 0
    shown = client.get(f"{LIST}{entries[0]}/change/").content.decode()
    assert "UnknownParent: gone" in shown
    assert "4111" not in page + shown


def test_it_is_retried_and_discarded_by_who_may(login: Login, entries: list[int]) -> None:
    def ask(client: Client, action: str, pk: int) -> None:
        client.post(LIST, {"action": action, "_selected_action": [pk]})

    reader = login("view_outboxentry")
    ask(reader, "retry_selected", entries[0])
    ask(reader, "discard_selected", entries[1])
    assert OutboxEntry.objects.refused().count() == 2
    keeper = login("view_outboxentry", "retry_outboxentry", "discard_outboxentry")
    ask(keeper, "retry_selected", entries[0])
    ask(keeper, "discard_selected", entries[1])
    assert not OutboxEntry.objects.refused().exists()
    assert OutboxEntry.objects.count() == 2
    assert list(AuditEntry.objects.order_by("id").values_list("verb", flat=True)) == ["retry", "discard"]


def test_nobody_adds_changes_or_deletes_a_row(client: Client, entries: list[int]) -> None:
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{LIST}{entries[0]}/change/", {"org": "other"}).status_code == 403
    assert client.post(f"{LIST}{entries[0]}/delete/", {"post": "yes"}).status_code == 403
    assert OutboxEntry.objects.count() == 3
