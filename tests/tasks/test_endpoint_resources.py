"""Each endpoint is a resource: its limits, its own breaker, and its state in admin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from celery import Celery
from django.core.exceptions import ValidationError
from django.test import Client, override_settings

from queueops.engine.rules.gates import Breaker, ResourceLimits
from queueops.engine.store import Store
from queueops.engine.types import Settlement
from queueops.ops import broker, panic, resources
from queueops.ops.permissions import Actor
from tests.support import letters

if TYPE_CHECKING:
    from tasks.models import Endpoint

ACTOR = Actor.shell("maria")
COMMON = ResourceLimits(max_in_flight=10, breaker=Breaker(min_calls=10, probes=1))


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


def make(**given: object) -> Endpoint:
    from tasks.models import Endpoint

    return Endpoint.objects.create(**{"org": "acme", "url": "https://hooks.example/", **given})


def test_an_endpoint_is_limited_from_the_moment_it_is_saved(store: Store) -> None:
    plain, own = make(), make(rate="10/m", max_in_flight=2)
    assert store.read_resources() == {
        f"webhook.{plain.pk}": COMMON,
        f"webhook.{own.pk}": ResourceLimits(10.0, 1, 2, COMMON.breaker),
    }
    own.max_in_flight = None
    own.save()
    assert store.read_resources()[f"webhook.{own.pk}"].max_in_flight == 10
    own.delete()
    assert list(store.read_resources()) == [f"webhook.{plain.pk}"]
    assert resources.drift(store) == []


def test_settings_say_what_endpoints_have_in_common_and_a_row_stands_above(store: Store) -> None:
    given = {"ENDPOINT_RATE": "1/s", "ENDPOINT_MAX_IN_FLIGHT": None, "ENDPOINT_BREAKER": None}
    with override_settings(WEBHOOKS=given):
        endpoint = make()
        name = f"webhook.{endpoint.pk}"
        assert store.read_resources() == {name: ResourceLimits(60.0, 1)}
        resources.set_limit(ACTOR, name, {"rate": "-1", "max_in_flight": 1})
        assert store.read_resources() == {name: ResourceLimits(max_in_flight=1)}


def test_limits_that_cannot_be_are_refused_at_their_field(app: Celery) -> None:
    from tasks.models import Endpoint

    with pytest.raises(ValidationError) as caught:
        Endpoint(org="acme", url="https://hooks.example/", rate="often").full_clean()
    assert list(caught.value.message_dict) == ["rate"]


def test_a_broken_endpoint_holds_its_own_deliveries_and_no_others(store: Store, app: Celery) -> None:
    from tasks.webhooks import deliver, send

    broken, well = make(), make(url="https://two.example/")
    for number in range(12):
        send("acme", "issues.opened", {"n": number})
    jobs = store.claim(["webhooks"], 100, 0, "holder", 1).jobs
    assert {job.task for job in jobs} == {deliver.name}
    of_broken = [job for job in jobs if job.resource == f"webhook.{broken.pk}"]
    assert len(of_broken) == 10 and len(jobs) == 20, "ten of each at once"
    # Given ten failed deliveries to one of them
    store.settle([Settlement(job.token, "dead", 5, {"reason": "failed"}, True) for job in of_broken])
    store.settle([Settlement(job.token, "succeeded", 5) for job in jobs if job not in of_broken])
    # Then its other jobs wait, and the org's other endpoint goes on
    rest = store.claim(["webhooks"], 100, 0, "holder", 2).jobs
    assert {job.resource for job in rest} == {f"webhook.{well.pk}"}
    assert len(rest) == 2
    [status] = panic.status()
    assert (status.resource, status.held) == (f"webhook.{broken.pk}", {"webhooks": 2})


def test_admin_shows_each_endpoints_state(store: Store, app: Celery) -> None:
    from django.contrib.auth.models import User

    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    endpoint = make()
    name = f"webhook.{endpoint.pk}"
    letters.publish(app, queue="webhooks", org="acme", resource=name)
    panic.on(ACTOR, name, reason="they asked for it")
    for path in ("", f"{endpoint.pk}/change/"):
        page = " ".join(client.get(f"/admin/tasks/endpoint/{path}").content.decode().split())
        assert "<b>1</b> waiting" in page
        assert "they asked for it" in page and "until ended by hand" in page
    assert "webhook endpoints" in page, "who says what holds"
    assert "opened by maria: they asked for it" in page
