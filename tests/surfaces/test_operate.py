"""Replay, discard and purge from admin: asked first, done once, told exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from queueops.admin import operate
from queueops.engine.store import Store
from queueops.models import AuditEntry, DeadLetter
from queueops.ops import broker, dead_letters
from tests.support import letters, site
from tests.support.valkey import Valkey

LIST = "/admin/queueops/deadletter/"


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


def dead(app: Celery, store: Store, count: int, org: str = "acme") -> list[DeadLetter]:
    for number in range(count):
        letters.publish(app, number, org=org)
        letters.die(store)
    dead_letters.collect_all(store)
    return list(DeadLetter.objects.filter(org=org).order_by("pk"))


def fields(response: Any) -> dict[str, str]:
    """The hidden fields of a page's form, as a browser would send them."""
    selection = response.context_data["selection"]
    more = {
        name: str(response.context_data[key])
        for name, key in (("after", "after"), ("done", "total"))
        if key in response.context_data
    }
    return {**dict(selection.fields), **more}


def told(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def test_chosen_letters_are_asked_about_and_replayed(app: Celery, store: Store, client: Client) -> None:
    made = dead(app, store, 3)
    chosen = [str(made[0].pk), str(made[2].pk)]

    asked = client.post(
        f"{LIST}?org=acme", {"action": "replay_selected", "_selected_action": chosen}, follow=True
    )

    page = asked.content.decode()
    assert "2 letters" in page and "that you chose" in page
    assert f">{made[0].pk}</a>" in page and f">{made[1].pk}</a>" not in page
    assert store.queue_snapshot("standard").ready == 0, "nothing happens before the confirmation"

    done = client.post(f"{LIST}operate/replay/", fields(asked))

    assert done.status_code == 302 and done.headers["Location"] == f"{LIST}?org=acme"
    assert told(done) == ["2 letters replayed."]
    assert store.queue_snapshot("standard").ready == 2
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.surface, entry.result_count) == ("replay", "admin", 2)
    assert entry.parameters == {"letters": [made[0].pk, made[2].pk]}
    # A second click on the same page
    again = client.post(f"{LIST}operate/replay/", fields(asked))
    assert told(again)[-1] == "0 letters replayed. 2 had been replayed, discarded or purged before."
    assert store.queue_snapshot("standard").ready == 2


def test_all_that_match_the_filter_are_replayed_on_the_server(
    app: Celery, store: Store, client: Client
) -> None:
    dead(app, store, 4)
    dead(app, store, 2, org="other")
    # The list's own "select all" across pages, with a filter on
    asked = client.post(
        f"{LIST}?org=acme",
        {"action": "replay_selected", "_selected_action": "1", "select_across": "1"},
        follow=True,
    )
    assert "4 letters" in asked.content.decode() and "that match the filter" in asked.content.decode()
    # One that dies after the question does not belong to what was confirmed
    late = dead(app, store, 1)[-1]

    done = client.post(f"{LIST}operate/replay/", fields(asked))

    assert told(done) == ["4 letters replayed."]
    assert list(DeadLetter.objects.parked().values_list("org", flat=True).order_by("org")) == [
        "acme",
        "other",
        "other",
    ]
    late.refresh_from_db()
    assert late.status == "parked"
    assert AuditEntry.objects.get().parameters["filter"]["org"] == "acme"


def test_a_search_is_part_of_what_matches(app: Celery, store: Store, client: Client) -> None:
    made = dead(app, store, 3)
    asked = client.get(f"{LIST}operate/discard/?filter=q%3D{made[1].task_id}")
    client.post(f"{LIST}operate/discard/", fields(asked))
    assert list(DeadLetter.objects.filter(status="discarded")) == [made[1]]


def test_many_letters_go_in_pieces_that_can_be_stopped_and_gone_on_with(
    app: Celery, store: Store, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead(app, store, 5)
    pages = dead_letters.pages
    monkeypatch.setattr(dead_letters, "pages", lambda matching, after: pages(matching, after, size=2))
    monkeypatch.setattr(operate, "PIECE_SECONDS", 0.0)
    asked = client.get(f"{LIST}operate/replay/?filter=org%3Dacme")

    piece = client.post(f"{LIST}operate/replay/", fields(asked))
    assert "2 letters replayed</b> so far" in piece.content.decode()
    assert "data-continue" in piece.content.decode()
    assert DeadLetter.objects.parked().count() == 3, "who stops here has replayed two"
    piece = client.post(f"{LIST}operate/replay/", fields(piece))
    assert "4 letters replayed</b> so far" in piece.content.decode()
    done = client.post(f"{LIST}operate/replay/", fields(piece))

    assert told(done) == ["5 letters replayed."]
    assert store.queue_snapshot("standard").ready == 5


def test_the_page_lists_the_first_letters_and_counts_the_rest(client: Client, database: None) -> None:
    DeadLetter.objects.bulk_create(letters.row() for _ in range(23))
    page = client.get(f"{LIST}operate/discard/?filter=").content.decode()
    assert "23 letters" in page
    assert page.count('data-label="Letter"') == 10
    assert "and 13 more" in page


def test_purge_refuses_younger_letters_until_it_is_forced(client: Client, database: None) -> None:
    DeadLetter.objects.bulk_create(
        [
            letters.row(),
            letters.row(died_at=timezone.now() - timedelta(days=31)),
            letters.row(status="replayed"),
        ]
    )
    ids = ",".join(str(pk) for pk in DeadLetter.objects.values_list("pk", flat=True))
    asked = client.get(f"{LIST}operate/purge/?ids={ids}")
    assert "2 of them are younger than the retention of 30 days" in " ".join(asked.content.decode().split())

    refused = client.post(f"{LIST}operate/purge/", fields(asked))
    assert "Nothing was purged: 2 of these letters are younger" in told(refused)[0]
    assert DeadLetter.objects.count() == 3

    done = client.post(f"{LIST}operate/purge/", {**fields(asked), "force": "1"})
    assert told(done)[-1] == "3 letters purged."
    assert not DeadLetter.objects.exists()


def test_a_letter_that_is_refused_is_named_with_the_reason(client: Client, app: Celery) -> None:
    row = letters.row()
    row.save()
    asked = client.get(f"{LIST}operate/replay/?ids={row.pk}")
    done = client.post(f"{LIST}operate/replay/", fields(asked))
    assert done.headers["Location"] == f"{LIST}{row.pk}/change/"
    assert told(done)[0] == "0 letters replayed."
    assert told(done)[1].startswith(
        f"Letter {row.pk} was refused and stays parked: The message cannot be read"
    )


def test_with_the_broker_away_the_person_is_told_and_nothing_is_lost(client: Client) -> None:
    server = Valkey()
    with site.celery_app(server.broker_url) as app:
        with broker.store() as store:
            [letter] = dead(app, store, 1)
        server.close()
        asked = client.get(f"{LIST}operate/replay/?ids={letter.pk}")
        done = client.post(f"{LIST}operate/replay/", fields(asked))
        assert client.get(LIST).status_code == 200
    assert "The broker does not answer" in told(done)[0]
    letter.refresh_from_db()
    assert letter.status == "parked"


@pytest.mark.parametrize("verb", ["replay", "discard", "purge"])
def test_each_verb_needs_its_permission(login: Callable[..., Client], verb: str) -> None:
    row = letters.row()
    row.save()
    others = {"replay", "discard", "purge"} - {verb}
    client = login("view_deadletter", *(f"{other}_deadletter" for other in others))
    assert client.get(f"{LIST}operate/{verb}/?ids={row.pk}").status_code == 403
    until = timezone.now().isoformat()
    assert client.post(f"{LIST}operate/{verb}/", {"ids": str(row.pk), "until": until}).status_code == 403
    row.refresh_from_db()
    assert row.status == "parked"


def test_nonsense_is_answered_with_400_and_404(client: Client, database: None) -> None:
    assert client.get(f"{LIST}operate/eat/?ids=1").status_code == 404
    for bad in ("ids=", "ids=x", "ids=99999999999999999999999", "filter=kwargs__a%3D1"):
        assert client.get(f"{LIST}operate/replay/?{bad}").status_code == 400, bad
    assert client.post(f"{LIST}operate/replay/", {"filter": "", "until": "soon"}).status_code == 400
    until = timezone.now().isoformat()
    assert (
        client.post(f"{LIST}operate/replay/", {"filter": "", "until": until, "after": "x"}).status_code == 400
    )


def test_an_edit_is_compared_confirmed_and_replayed(app: Celery, store: Store, client: Client) -> None:
    [letter] = dead(app, store, 1)
    edit = f"{LIST}{letter.pk}/edit/"
    form = client.get(edit)
    assert form.context_data["args"] == "[\n  0\n]"  # type: ignore[attr-defined]
    unchanged = client.post(edit, {"step": "review", "args": "[0]", "kwargs": "{}"})
    assert "Nothing was changed" in unchanged.content.decode()
    broken = client.post(edit, {"step": "review", "args": "[0", "kwargs": "{}"})
    assert "args is not JSON" in broken.content.decode() and "[0</textarea>" in broken.content.decode()

    review = client.post(edit, {"step": "review", "args": "[7]", "kwargs": "{}"})
    assert "-   0" in review.content.decode() and "+   7" in review.content.decode()
    assert store.queue_snapshot("standard").ready == 0
    again = client.post(edit, {"step": "again", "args": "[7]", "kwargs": "{}"})
    assert "[7]</textarea>" in again.content.decode()
    done = client.post(edit, {"step": "replay", "args": "[7]", "kwargs": "{}"})

    assert told(done) == [f"Letter {letter.pk} was replayed with the arguments you wrote."]
    assert store.queue_snapshot("standard").ready == 1
    assert AuditEntry.objects.get().parameters == {"args": [7], "kwargs": {}}
