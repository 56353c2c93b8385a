"""Members of the chain: their hooks, their order, their mistakes."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import pytest
from celery import Task

from queueops import Envelope, Job, Middleware, Outcome, enqueue_many
from queueops.engine.rules.states import OutcomeKind
from queueops.errors import ConfigurationError, PublishError
from queueops.middleware.chain import chain
from tests.middleware.conftest import Bench, Configure

CALLS: list[str] = []
DEFAULTS = ["queueops.middleware.org.Org", "queueops.middleware.retry.Retry"]


class First(Middleware):
    def before_publish(self, envelope: Envelope) -> None:
        CALLS.append("first publish")
        envelope.org = envelope.org or "first"
        envelope.header["note"] = "mine"

    def before_run(self, job: Job) -> None:
        CALLS.append(
            f"first before {job.org} {job.queue} {job.attempt} {job.resource} {job.name} {len(job.task_id)}"
        )

    def after_run(self, job: Job, outcome: Outcome) -> None:
        CALLS.append(f"first after {outcome.kind}")

    def worker_started(self, store: Any) -> None:
        CALLS.append(f"first started {store}")


class Second(Middleware):
    def before_publish(self, envelope: Envelope) -> None:
        CALLS.append("second publish")
        if "big" in envelope.args:
            envelope.queue = "bulk"
        if "lost" in envelope.args:
            envelope.queue = "nowhere"
        if "refused" in envelope.args:
            raise PublishError("no")

    def before_run(self, job: Job) -> None:
        CALLS.append("second before")
        if "stop" in job.args:
            raise RuntimeError("stopped")

    def after_run(self, job: Job, outcome: Outcome) -> None:
        CALLS.append(f"second after {outcome.kind}")
        raise RuntimeError("only looked")


class OnlyDeaths(Middleware):
    outcomes: ClassVar = frozenset({OutcomeKind.DEAD})

    def after_run(self, job: Job, outcome: Outcome) -> None:
        CALLS.append(f"death {type(outcome.error).__name__}")


class Broken(Middleware):
    def on_error(self, job: Job, error: Exception) -> Exception | None:
        raise RuntimeError("the member's own mistake")


class NoMember:
    pass


@pytest.fixture
def members(configure: Configure) -> None:
    CALLS.clear()
    configure(MIDDLEWARE=[f"{__name__}.First", f"{__name__}.Second", f"{__name__}.OnlyDeaths", *DEFAULTS])


@pytest.fixture
def task(bench: Bench) -> Any:
    @bench.task(name="noted", attempts=1)
    def noted(what: str) -> str:
        if what == "fail":
            raise KeyError(what)
        return what

    return noted


@pytest.mark.usefixtures("members")
def test_before_hooks_run_in_order_and_after_hooks_backwards(bench: Bench, task: Any) -> None:
    task.delay("fine")
    sent = bench.one()
    assert (sent.header["org"], sent.header["note"]) == ("first", "mine")
    assert bench.run(sent) == ("fine", None)
    assert CALLS == [
        "first publish",
        "second publish",
        "first before first standard 1  noted 36",
        "second before",
        "second after succeeded",
        "first after succeeded",
    ]


@pytest.mark.usefixtures("members")
def test_a_member_may_move_or_refuse_a_message(bench: Bench, task: Any) -> None:
    task.delay("big")
    assert bench.one().queue == "bulk"
    with pytest.raises(PublishError, match="no"):
        task.delay("refused")
    with pytest.raises(PublishError, match="nowhere"):
        task.delay("lost")
    assert not bench.claim()


@pytest.mark.usefixtures("members")
def test_what_a_member_raises_before_the_body_is_the_attempts_error(bench: Bench, task: Any) -> None:
    task.delay("stop")
    error, state = bench.run(bench.one())
    assert (str(error), state) == ("stopped", "FAILURE")
    assert CALLS[-3:] == ["death RuntimeError", "second after dead", "first after dead"]


@pytest.mark.usefixtures("members")
def test_members_see_a_retry_and_those_who_want_only_deaths_do_not(bench: Bench, task: Any) -> None:
    task.apply_async(("fail",), attempts=2)
    bench.run(bench.one())
    assert CALLS[-2:] == ["second after retried", "first after retried"]


def test_a_member_that_fails_does_not_hide_the_bodys_error(
    bench: Bench, task: Any, configure: Configure
) -> None:
    configure(MIDDLEWARE=[f"{__name__}.Broken", *DEFAULTS])
    task.delay("fail")
    error, _ = bench.run(bench.one())
    assert type(error).__name__ == "KeyError"


@pytest.mark.usefixtures("members")
def test_every_member_hears_that_a_worker_started() -> None:
    chain().worker_started("store")
    assert CALLS == ["first started store"]
    assert chain() is chain()


@pytest.mark.parametrize("path", ["nowhere.Member", f"{__name__}.Missing", f"{__name__}.NoMember"])
def test_a_path_that_is_no_member_is_named(configure: Configure, path: str) -> None:
    configure(MIDDLEWARE=[path])
    with pytest.raises(ConfigurationError, match=path.rpartition(".")[2]):
        chain()


@pytest.mark.usefixtures("members")
def test_a_call_by_hand_is_no_job(task: Any) -> None:
    assert task("fine") == "fine"
    assert task.run("fine") == "fine"
    assert task.apply(("fine",)).get() == "fine"
    with pytest.raises(KeyError):
        task("fail")
    assert task.apply(("fail",)).state == "FAILURE"
    assert CALLS == []


def test_a_retry_and_a_death_are_one_structured_line_each(
    bench: Bench, task: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "queueops.jobs")
    task.apply_async(("fail",), attempts=2, org="acme")
    sent = bench.one()
    bench.run(sent)
    task.apply_async(("fail",), org="acme")
    bench.run(bench.one())
    task.delay("fine")
    bench.run(bench.one())
    retried, dead = (record for record in caplog.records if record.name == "queueops.jobs")
    assert "runs again in 20 s: KeyError: 'fail'" in retried.getMessage()
    assert "is dead after attempt 1; replay it from the dead letters" in dead.getMessage()
    for record in (retried, dead):
        told = {name: getattr(record, name) for name in ("org", "queue", "task", "attempt")}
        assert told == {"org": "acme", "queue": "standard", "task": "noted", "attempt": 1}
    assert retried.job == sent.job.task_id  # type: ignore[attr-defined]


def test_tasks_registered_after_the_app_was_finalised_are_wrapped_too(bench: Bench) -> None:
    bench.app.finalize()

    @bench.task(name="late", retry_policy={"base_seconds": 9})
    def late() -> None:
        raise KeyError

    late.delay()
    _, state = bench.run(bench.one())
    assert state == "RETRY"


def test_a_task_class_with_its_own_call_is_wrapped_too(bench: Bench) -> None:
    class Base(Task):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            CALLS.append("own call")
            return super().__call__(*args, **kwargs)

    @bench.task(base=Base, name="called")
    def called() -> None:
        raise KeyError

    called.delay()
    _, state = bench.run(bench.one())
    assert state == "RETRY"
    assert CALLS[-1] == "own call"


def test_a_tasks_own_call_may_pass_other_arguments_on(bench: Bench) -> None:
    class Adding(Task):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return self.run(*args, "added", **kwargs)

    @bench.task(base=Adding, typing=False)
    def joined(*args: Any) -> str:
        return " ".join(args)

    joined.delay("given")
    assert bench.run(bench.one()) == ("given added", None)


class Translating(Middleware):
    """Puts other arguments in place, before the publish and before the run."""

    def before_publish(self, envelope: Envelope) -> None:
        envelope.args = [*envelope.args, "published"]

    def before_run(self, job: Job) -> None:
        job.args = (*job.args, "ran")


def test_a_member_may_put_other_arguments_in_place(bench: Bench, configure: Configure) -> None:
    configure(MIDDLEWARE=["queueops.middleware.org.Org", f"{__name__}.Translating"])

    @bench.task
    def joined(*args: Any) -> str:
        return " ".join(args)

    joined.delay("given")
    assert bench.run(bench.one())[0] == "given published ran"
    enqueue_many(joined, [(("many",), {})])
    assert bench.run(bench.one())[0] == "many published ran"
