"""Whose job is this? Each way to say so, their order, and what inherits."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from queueops import current_org, org_context
from queueops.errors import ConfigurationError, InvalidOrg, InvalidResource
from queueops.middleware.org import OrgMiddleware
from tests.middleware.conftest import Bench, Configure


def test_the_order_is_call_task_argument_surroundings_parent_default(bench: Bench) -> None:
    @bench.task(name="child")
    def child(org_id: str | None = None) -> None: ...

    @bench.task(name="argued", org_from="org_id")
    def argued(first: int, org_id: str | None = None) -> None: ...

    @bench.task(name="fixed", org="fixed")
    def fixed() -> None: ...

    @bench.task(name="parent")
    def parent() -> None:
        child.delay()
        argued.delay(1)
        argued.delay(1, org_id="argument")
        with org_context("ambient"):
            child.delay()
            argued.delay(1, "argument")
            argued.apply_async((1, "argument"), org="call")

    fixed.delay()
    assert bench.one().header["org"] == "fixed"
    child.delay()
    assert bench.one().header["org"] == "default"
    parent.apply_async(org="acme")
    bench.run(bench.one())
    sent = [(one.headers["task"], one.header["org"]) for one in bench.claim()]
    assert sorted(sent) == sorted(
        [
            ("child", "acme"),
            ("argued", "acme"),
            ("argued", "argument"),
            ("child", "ambient"),
            ("argued", "argument"),
            ("argued", "call"),
        ]
    )


def test_an_argument_may_be_named_positional_or_a_number(bench: Bench) -> None:
    @bench.task(bind=True, org_from="account")
    def bound(self: Any, first: int, account: int) -> None: ...

    bound.delay(1, 42)
    bound.delay(1, account=43)
    bound.apply_async(kwargs={"first": 1, "account": "44"})
    assert sorted(one.header["org"] for one in bench.claim()) == ["42", "43", "44"]


def test_an_argument_that_the_task_does_not_have_is_a_mistake_of_the_task(bench: Bench) -> None:
    @bench.task(org_from="acount")
    def mistaken(account: int) -> None: ...

    with pytest.raises(ConfigurationError, match="org_from='acount'"):
        mistaken.delay(1)


@pytest.mark.parametrize("org", ["", "a b", "a:b", "año", "x" * 129, "a\n", 7, True])
def test_a_bad_name_is_refused_at_the_call_and_at_the_context(bench: Bench, org: Any) -> None:
    @bench.task
    def plain() -> None: ...

    with pytest.raises(InvalidOrg):
        plain.apply_async(org=org)
    with pytest.raises(InvalidOrg):
        org_context(org)
    assert not bench.claim()


def test_a_resource_is_the_calls_or_the_tasks(bench: Bench) -> None:
    @bench.task(resource="stripe")
    def paying() -> None: ...

    paying.delay()
    assert bench.one().job.resource == "stripe"
    paying.apply_async(resource="afip")
    assert bench.one().job.resource == "afip"
    with pytest.raises(InvalidResource, match="Resource 'a b'"):
        paying.apply_async(resource="a b")


def test_contexts_nest_decorate_and_do_not_leak_into_other_threads(bench: Bench) -> None:
    seen: dict[str, str] = {}

    @org_context("decorated")
    def decorated() -> None:
        seen["decorated"] = current_org()

    with org_context("outer"):
        with org_context("inner"):
            seen["inner"] = current_org()
            thread = threading.Thread(target=lambda: seen.setdefault("thread", current_org()))
            thread.start()
            thread.join()
        with org_context(None):
            seen["none"] = current_org()
        decorated()
        seen["outer"] = current_org()
    assert seen == {
        "inner": "inner",
        "thread": "default",
        "none": "default",
        "decorated": "decorated",
        "outer": "outer",
    }
    assert current_org() == "default"


def test_an_error_inside_ends_the_context() -> None:
    with pytest.raises(RuntimeError), org_context("acme"):
        raise RuntimeError
    assert current_org() == "default"


def test_chains_links_and_groups_belong_to_the_org_that_sent_them(bench: Bench) -> None:
    from celery import chain, group

    @bench.task(name="step")
    def step(*_: Any) -> str:
        return "done"

    def drain() -> list[str]:
        orgs = []
        while sent := bench.claim():
            for one in sent:
                orgs.append(one.header["org"])
                bench.run(one)
        return orgs

    chain(step.si(), step.si(), step.si()).apply_async(org="chain")
    assert drain() == ["chain"] * 3
    with org_context("ambient"):
        step.apply_async(link=step.si(), link_error=step.si())
        group(step.si(), step.si()).apply_async()
    assert drain() == ["ambient"] * 4


def test_default_org_is_a_setting(bench: Bench, configure: Configure) -> None:
    configure(DEFAULT_ORG="house")

    @bench.task
    def plain() -> None: ...

    plain.delay()
    assert bench.one().job.org == "house"
    assert current_org() == "house"


def org_of(request: dict[str, str]) -> str | None:
    """What a project names in ORG_FROM_REQUEST."""
    return request.get("org")


def test_the_django_middleware_sets_the_org_for_the_time_of_a_request(configure: Configure) -> None:
    configure(ORG_FROM_REQUEST=f"{__name__}.org_of")
    sync = OrgMiddleware(lambda request: current_org())
    assert sync({"org": "acme"}) == "acme"
    assert sync({}) == "default"

    async def view(request: Any) -> str:
        await asyncio.sleep(0)
        return current_org()

    async def both() -> list[str]:
        handler = OrgMiddleware(view)
        return await asyncio.gather(handler({"org": "a"}), handler({"org": "b"}))

    assert asyncio.run(both()) == ["a", "b"]
    assert current_org() == "default"


def test_without_the_setting_the_django_middleware_changes_nothing() -> None:
    assert OrgMiddleware(lambda request: current_org())({"org": "acme"}) == "default"
