"""The list of dead letters: filters, search, groups, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from queueops.models import DeadLetter
from tests.support import letters

LIST = "/admin/queueops/deadletter/"


@pytest.fixture
def rows(database: None) -> dict[str, DeadLetter]:
    now = timezone.now()
    made = {
        "one": letters.row(org="acme", task_id="id-1", error_message="https://a answered 503"),
        "two": letters.row(
            org="other",
            queue="bulk",
            reason="timeout",
            error_class="SoftTimeLimitExceeded",
            error_message="ran too long",
            fingerprint="f" * 16,
            died_at=now - timedelta(hours=5),
        ),
        "old": letters.row(org="acme", task="shop.bill", died_at=now - timedelta(days=40)),
        "done": letters.row(org="acme", status="replayed"),
        "gone": letters.row(org="acme", status="discarded"),
    }
    for row in made.values():
        row.save()
    return made


def shown(response: HttpResponse) -> set[int]:
    assert response.status_code == 200
    return {row.pk for row in response.context_data["cl"].result_list}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"one", "two", "old"}),
        ("status=replayed", {"done"}),
        ("status=discarded", {"gone"}),
        ("status=all", {"one", "two", "old", "done", "gone"}),
        ("org=acme", {"one", "old"}),
        ("org=acme&status=all", {"one", "old", "done", "gone"}),
        ("queue=bulk", {"two"}),
        ("task=shop.bill", {"old"}),
        ("reason=timeout", {"two"}),
        ("error_class=SoftTimeLimitExceeded", {"two"}),
        ("fingerprint=" + "f" * 16, {"two"}),
        ("age=1h", {"one"}),
        ("age=24h", {"one", "two"}),
        ("age=old", {"old"}),
        ("org=acme&age=old", {"old"}),
        ("q=id-1", {"one"}),
        ("q=other", {"two"}),
        ("q=too+long", {"two"}),
        ("q=acme+503", {"one", "old"}),
        ("q=nothing+like+it", set()),
        ("q=acme&queue=bulk", set()),
    ],
)
def test_filters_and_search_show_just_what_matches(
    client: Client, rows: dict[str, DeadLetter], query: str, expected: set[str]
) -> None:
    assert shown(client.get(f"{LIST}?{query}")) == {rows[name].pk for name in expected}


def test_a_letters_number_finds_it(client: Client, rows: dict[str, DeadLetter]) -> None:
    assert shown(client.get(f"{LIST}?q={rows['two'].pk}")) == {rows["two"].pk}


def test_lookups_that_are_no_filter_are_refused(client: Client, rows: dict[str, DeadLetter]) -> None:
    # Else a payload could be guessed at bit by bit, and any text be searched in any table.
    for query in ("kwargs__password__startswith=a", "error_message__icontains=a", "message__regex=a"):
        assert client.get(f"{LIST}?{query}").status_code == 400


def test_the_groups_show_what_died_most_and_lead_there(client: Client, rows: dict[str, DeadLetter]) -> None:
    response = client.get(LIST)
    groups = response.context_data["groups"]  # type: ignore[attr-defined]
    assert [(group["count"], group["error"]) for group in groups] == [
        (2, "EndpointRefused"),
        (1, "SoftTimeLimitExceeded"),
    ]
    assert shown(client.get(LIST + groups[1]["query"])) == {rows["two"].pk}


def test_many_orgs_are_offered_as_a_field_with_suggestions(client: Client, database: None) -> None:
    DeadLetter.objects.bulk_create(letters.row(org=f"org-{n:02}") for n in range(30))
    page = client.get(f"{LIST}?queue=standard").content.decode()
    assert '<datalist id="qo-org">' in page
    assert '<option value="org-29">' in page
    assert '<input type="hidden" name="queue" value="standard">' in page
    assert shown(client.get(f"{LIST}?org=org-07")) == set(
        DeadLetter.objects.filter(org="org-07").values_list("pk", flat=True)
    )


def test_secrets_in_error_messages_are_masked(client: Client, database: None) -> None:
    letters.row(error_message="refused: token=hush").save()
    page = client.get(LIST).content.decode()
    assert "hush" not in page
    assert "refused: token=" in page


def test_the_list_without_the_permission_is_refused(login: Callable[..., Client]) -> None:
    assert login("view_auditentry").get(LIST).status_code == 403


def test_only_verbs_that_a_person_may_use_are_offered(
    login: Callable[..., Client], rows: dict[str, DeadLetter]
) -> None:
    page = login("view_deadletter", "replay_deadletter").get(LIST).content.decode()
    assert "replay_selected" in page and "operate/replay/" in page
    assert "discard_selected" not in page and "operate/discard/" not in page and "purge_selected" not in page
