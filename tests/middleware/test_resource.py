"""Which resource a job uses: the call, the task, a function of its arguments, or the task's own rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from queueops import Item, enqueue_many
from queueops.errors import ConfigurationError, InvalidResource
from queueops.middleware.plan import TaskPlan
from queueops.middleware.task_rates import task_rate, task_resource
from tests.middleware.conftest import Bench, Sent


def by_region(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """The resource of a task whose first argument names a region."""
    region = kwargs.get("region") or args[0]
    return f"afip.{region}" if region else ""


def nothing() -> None: ...


def resources(bench: Bench) -> list[str]:
    """Those of all ready jobs: as the engine knows them, and as they travel."""
    found = bench.claim()
    assert [sent.job.resource for sent in found] == [sent.header["resource"] for sent in found]
    return [sent.job.resource for sent in found]


def test_the_call_comes_before_the_task_and_may_take_its_resource_away(bench: Bench) -> None:
    task = bench.task(nothing, name="send", resource="whatsapp")
    task.delay()
    task.apply_async(resource="telegram")
    task.apply_async(resource="")
    bench.task(nothing, name="plain").delay()
    assert sorted(resources(bench)) == ["", "", "telegram", "whatsapp"]


@pytest.mark.parametrize("given", [by_region, "tests.middleware.test_resource:by_region"])
def test_a_function_of_the_arguments_says_it(bench: Bench, given: Any) -> None:
    @bench.task(name="invoice", resource=given)
    def invoice(region: str) -> None: ...

    invoice.delay("ar")
    invoice.apply_async(kwargs={"region": "uy"})
    invoice.delay("")
    enqueue_many(invoice, [(("cl",), {}), Item(("cl",), resource="other")])
    assert sorted(resources(bench)) == ["", "afip.ar", "afip.cl", "afip.uy", "other"]


def test_a_method_of_a_task_class_says_it(bench: Bench) -> None:
    class Invoice(bench.app.Task):  # type: ignore[name-defined, misc]
        name = "invoice"

        def resource(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
            return f"{self.name}.{args[0]}"

        def run(self, region: str) -> None: ...

    bench.app.register_task(Invoice())
    bench.app.tasks["invoice"].delay("ar")
    assert resources(bench) == ["invoice.ar"]


def test_a_bound_task_has_the_resource_of_its_function(bench: Bench) -> None:
    @bench.task(name="invoice", bind=True, resource=by_region)
    def invoice(self: Any, region: str) -> None: ...

    invoice.delay("ar")
    assert resources(bench) == ["afip.ar"]


@pytest.mark.parametrize("name", ["no spaces", "a:b", "x" * 129, 7])
def test_a_bad_name_is_refused_at_the_call(bench: Bench, name: Any) -> None:
    task = bench.task(nothing, name="plain")
    with pytest.raises(InvalidResource):
        task.apply_async(resource=name)
    made = bench.task(nothing, name="made", resource=lambda args, kwargs: name)
    with pytest.raises(InvalidResource):
        made.delay()
    assert bench.claim() == []


@pytest.mark.parametrize("given", ["no.such.module:function", "tests.middleware.test_resource:unknown", 7])
def test_an_option_that_cannot_be_is_said_at_the_first_publish(bench: Bench, given: Any) -> None:
    task = bench.task(nothing, name="plain", resource=given)
    with pytest.raises(ConfigurationError, match="plain has resource="):
        task.delay()


def test_a_retry_keeps_the_resource_that_the_first_publish_chose(bench: Bench) -> None:
    @bench.task(name="invoice", resource=by_region, retry_policy={"base_seconds": 1})
    def invoice(region: str) -> None:
        raise ValueError(region)

    invoice.apply_async(("ar",), resource="afip.other")
    sent = bench.one()
    bench.run(sent)
    later = sent.job.claimed_ms + 60_000
    [job] = bench.store.claim(["standard"], 1, 0, "bench", 99, now_ms=later).jobs
    assert (job.resource, Sent("standard", job).header["resource"]) == ("afip.other", "afip.other")


# A task's rate_limit


def test_a_tasks_rate_limit_is_a_resource_of_its_own(bench: Bench) -> None:
    bench.task(nothing, name="shop.send", rate_limit="10/m").delay()
    bench.task(nothing, name="shop.other", rate_limit="10/m", resource="whatsapp").delay()
    bench.task(nothing, name="shop.off", rate_limit="0/s").delay()
    assert sorted(resources(bench)) == ["", "task@shop.send", "whatsapp"]


@pytest.mark.parametrize(
    ("given", "per_minute"),
    [
        ("10/s", 600),
        ("10/m", 10),
        ("90/h", 1.5),
        (2, 120),
        ("2", 120),
        (0.5, 30),
        (None, 0),
        (0, 0),
        ("0/s", 0),
    ],
)
def test_a_rate_is_read_as_celery_reads_it(bench: Bench, given: Any, per_minute: float) -> None:
    assert task_rate(bench.task(nothing, name="plain", rate_limit=given)) == pytest.approx(per_minute)


@pytest.mark.parametrize("given", ["often", "5/fortnight", [5]])
def test_a_rate_that_celery_cannot_read_is_refused(bench: Bench, given: Any) -> None:
    task = bench.task(nothing, name="plain", rate_limit=given)
    with pytest.raises(ConfigurationError, match="plain has rate_limit="):
        TaskPlan(bench.app, "plain", task)


def test_names_that_no_key_may_have_stay_apart() -> None:
    names = ["shop.send", "shop send", "shop:send", "x" * 250, "x" * 251, "größe"]
    made = [task_resource(name) for name in names]
    assert made[0] == "task@shop.send"
    assert len(set(made)) == len(names)
    assert all(len(name) <= 128 for name in made)
