"""One letter: everything a person needs to understand it, and no secret."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from celery import Celery
from django.test import Client

from queueops.engine.rules.envelope import NewJob
from queueops.engine.store import Store
from queueops.models import DeadLetter
from queueops.ops import broker, dead_letters
from queueops.ops.permissions import Actor
from tests.support import letters

LIST = "/admin/queueops/deadletter/"


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


def page(client: Client, letter: DeadLetter) -> str:
    response = client.get(f"{LIST}{letter.pk}/change/")
    assert response.status_code == 200
    return response.content.decode()


def test_the_page_shows_payload_traceback_and_history_without_secrets(
    app: Celery, store: Store, client: Client
) -> None:
    letters.publish(app, "<script>", org="acme", kwargs={"url": "https://x", "token": "hush"})
    letters.die(store, message="refused with token=hush", traceback=letters.TRACEBACK + "password: hush\n")
    dead_letters.collect(store)
    text = page(client, DeadLetter.objects.get())
    assert "https://x" in text
    assert "hush" not in text
    assert "<script>&" not in text and '"&lt;script&gt;"' in text.replace("&quot;", '"')
    assert "/srv/shop/tasks/http.py" in text
    assert text.count("Attempt ") == 3
    assert "gave up" in text
    assert "acme in standard" in text


def test_who_may_not_see_payloads_sees_the_error_alone(
    app: Celery, store: Store, login: Callable[..., Client]
) -> None:
    letters.publish(app, "argument-of-the-job")
    letters.die(store)
    dead_letters.collect(store)
    letter = DeadLetter.objects.get()
    client = login("view_deadletter", "replay_deadletter", "edit_deadletter")
    text = page(client, letter)
    assert "argument-of-the-job" not in text
    assert "answered 503" in text
    assert "/edit/" not in text
    assert client.get(f"{LIST}{letter.pk}/edit/").status_code == 403


def test_a_message_that_cannot_be_read_is_shown_as_it_is(app: Celery, store: Store, client: Client) -> None:
    store.enqueue("standard", [NewJob("tag", "id", "", "acme", '{"secret": "hush", broken')])
    letters.die(store, reason="undecodable", attempt=0)
    dead_letters.collect(store)
    letter = DeadLetter.objects.get()
    text = page(client, letter)
    assert "Unreadable message" in text
    assert "broken" in text and "hush" not in text
    # It can be replayed, not edited; who tries is told why.
    answer = client.get(f"{LIST}{letter.pk}/edit/", follow=True)
    assert "It can only be replayed as it is" in answer.content.decode()


def test_the_line_of_replays_is_linked_both_ways(app: Celery, store: Store, client: Client) -> None:
    letters.publish(app)
    letters.die(store)
    dead_letters.collect(store)
    first = DeadLetter.objects.get()
    dead_letters.replay(Actor.shell("maria"), [first.pk])
    letters.die(store)
    dead_letters.collect(store)
    second = DeadLetter.objects.latest("pk")
    for letter, other in ((first, second), (second, first)):
        assert f'href="{LIST}{other.pk}/change/"' in page(client, letter)
    assert "Replayed by maria" in page(client, first)
    assert "Enqueued, replay 1" in page(client, second)


def test_the_page_of_a_letter_that_is_gone_leads_back_to_the_list(client: Client, database: None) -> None:
    answer = client.get(f"{LIST}424242/change/", follow=True)
    assert answer.redirect_chain[-1][0] == LIST
    assert "may have been purged" in answer.content.decode()


def test_a_payload_of_a_quarter_megabyte_is_cut_on_the_page(
    app: Celery, store: Store, client: Client
) -> None:
    letters.publish(app, kwargs={f"key-{n}": "x" * 50 for n in range(2_000)})
    letters.die(store)
    dead_letters.collect(store)
    text = page(client, DeadLetter.objects.get())
    assert "more characters" in text
    assert len(text) < 600_000


def test_nothing_can_be_added_typed_over_or_deleted(client: Client, database: None) -> None:
    row = letters.row()
    row.save()
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post(f"{LIST}{row.pk}/change/", {"org": "stolen"})
    row.refresh_from_db()
    assert row.org == "acme"
