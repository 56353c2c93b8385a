"""Resources with real workers: caps and rates of all together, breakers that open, try and close, panic."""

from __future__ import annotations

import json
import time
from typing import Any

from queueops.engine.rules.gates import Breaker, ResourceLimits
from tests.support.polling import eventually, stays
from tests.support.project import Project
from tests.support.stack import Stack

#: Short times, so that a test sees an opening and its end.
BREAKER: dict[str, Any] = {"min_calls": 5, "window_seconds": 30, "open_seconds": 1, "probes": 2}


def limit(stack: Stack, name: str, **limits: Any) -> None:
    with stack.store() as store:
        store.set_resources({name: ResourceLimits(**limits)})


def look(stack: Stack, name: str) -> Any:
    with stack.store() as store:
        return store.resource_snapshot(name)


def starts(stack: Stack, prefix: str) -> list[float]:
    """When jobs began whose names begin so."""
    return [e.at for e in stack.ledger.entries() if e.event == "start" and e.job.startswith(prefix)]


def most_within(moments: list[float], seconds: float) -> int:
    """The most of them in any stretch of that length."""
    return max(sum(0 <= at - first < seconds for at in moments) for first in moments)


def test_a_cap_holds_over_two_workers_and_two_queues(stack: Stack) -> None:
    limit(stack, "mail", max_in_flight=3)
    queues = ("standard", "bulk")
    for worker in [stack.start_worker(pool="threads", concurrency=6, queues=queues) for _ in range(2)]:
        worker.wait_ready()
    jobs = [f"mail-{n}" for n in range(30)]
    for n, job in enumerate(jobs):
        org = ("acme", "globex")[n // 2 % 2]
        stack.enqueue("use", job, "mail", 0.05, resource="mail", queue=queues[n % 2], org=org)
    others = [f"other-{n}" for n in range(10)]
    for job in others:
        stack.enqueue("run", job, org="acme")
    stack.wait_ended(*others)
    stack.wait_ended(*jobs)
    stack.wait_empty(*queues)
    assert stack.ledger.most_at_once(lambda entry: entry.job.startswith("mail")) == 3
    stack.ledger.assert_each_ran_once([*jobs, *others])
    assert look(stack, "mail").in_flight == 0


#: Five a second for a task, as Celery's settings say it; here and not in the task, for only these tests.
RATED: dict[str, Any] = {"task_annotations": {"ledger.run": {"rate_limit": "5/s"}}}


def two_workers(stack: Stack) -> None:
    env = {"LEDGER_CONF": json.dumps(RATED)}
    for worker in [stack.start_worker(pool="threads", concurrency=4, env=env) for _ in range(2)]:
        worker.wait_ready()
    # A worker is ready a moment before it listens to remote control.
    eventually(lambda: len(stack.app.control.ping(timeout=1, limit=2)) == 2, within=30, what="answers")


def test_a_tasks_rate_limit_holds_for_all_workers_together(stack: Stack) -> None:
    two_workers(stack)
    assert look(stack, "task@ledger.run").limits == ResourceLimits(300.0, 1), "a worker has published it"
    publisher = stack.make_app(stack.broker.broker_url, **RATED)
    jobs = [f"rated-{n}" for n in range(12)]
    for job in jobs:
        publisher.tasks["ledger.run"].apply_async((job,), queue="standard")
    stack.wait_ended(*jobs)
    begun = starts(stack, "rated")
    # Five a second, one at once: each two are 200 ms apart where they are claimed; the start may come later,
    # the first in a pool most of all. Were it five a second for each worker, they would take half as long.
    assert begun[-1] - begun[0] > 1.5
    assert most_within(begun, 1.0) <= 8
    assert len({entry.worker for entry in stack.ledger.entries()}) == 2


def test_remote_control_changes_the_rate_for_all_workers(stack: Stack) -> None:
    two_workers(stack)
    for given, expected in (("100/s", ResourceLimits(6000.0, 1)), ("1/m", ResourceLimits(1.0, 1))):
        assert told(stack, "ledger.run", given) == [{"ok": "new rate limit set successfully"}] * 2
        assert look(stack, "task@ledger.run").limits == expected
    assert all("give the task one" in answer["ok"] for answer in told(stack, "ledger.hold", "5/s"))
    assert [list(answer) for answer in told(stack, "ledger.run", "often")] == [["error"]] * 2
    assert look(stack, "task@ledger.run").limits == ResourceLimits(1.0, 1)


def told(stack: Stack, task: str, rate: str) -> list[dict[str, str]]:
    """What each of the two workers answers to a new rate."""
    answers = stack.app.control.rate_limit(task, rate, reply=True, limit=2, timeout=10)
    return [said for answer in answers for said in answer.values()]


def test_a_breaker_opens_holds_tries_and_closes_and_others_go_on(stack: Stack) -> None:
    """One outside thing breaks: its jobs wait unharmed, the org's other jobs run; mended, it comes back."""
    settings = {"RESOURCES": {"mail": {"breaker": BREAKER}}}
    stack.worker(pool="prefork", concurrency=3, settings=settings)
    stack.ledger.break_down("mail")
    jobs = [f"mail-{n}" for n in range(25)]
    for job in jobs:
        stack.enqueue("use", job, "mail", resource="mail", org="acme")
    eventually(lambda: look(stack, "mail").breaker == "open", within=15, what="the breaker opens")
    picture = look(stack, "mail")
    assert picture.reason.endswith("calls failed") and not picture.forced
    # While it is open other work of the same org goes on, with a resource or without.
    stack.enqueue("use", "pay", "pay", resource="pay", org="acme")
    stack.enqueue("run", "plain", org="acme")
    stack.wait_ended("pay", "plain")
    # It tries, fails, and waits longer each time.
    eventually(lambda: look(stack, "mail").opens >= 2, within=15, what="it opens again after a probe")
    again = look(stack, "mail")
    assert again.until_ms - again.since_ms in (2000, 4000, 8000)
    tried = len(starts(stack, "mail"))
    # Five opened it, two more may have run then, and two probes for each time that it tried.
    assert tried <= 5 + 2 + 2 * again.opens
    assert stack.dead() == [], "no attempt was burnt for nothing: nobody has died"
    stack.ledger.mend("mail")
    stack.wait_ended(*jobs, within=30)
    eventually(lambda: look(stack, "mail").breaker == "closed", within=5)
    stack.wait_empty()
    assert stack.dead() == []
    assert look(stack, "mail").opens == 0


def test_while_it_is_open_nothing_of_it_runs(stack: Stack) -> None:
    limit(stack, "mail", breaker=Breaker(min_calls=3, open_seconds=10, probes=1))
    stack.worker(pool="threads", concurrency=4)
    stack.ledger.break_down("mail")
    for n in range(12):
        stack.enqueue("use", f"mail-{n}", "mail", resource="mail")
    eventually(lambda: look(stack, "mail").breaker == "open", within=10)
    # What ran when it opened has ended within a moment.
    eventually(lambda: look(stack, "mail").in_flight == 0, within=5)
    before = len(starts(stack, "mail"))
    stays(lambda: len(starts(stack, "mail")) == before, during=2, what="no job of it starts")
    held = look(stack, "mail")
    assert held.waiting["standard"] + stack.snapshot().scheduled == 12
    stack.ledger.mend("mail")
    # One probe, and only when that has succeeded the others.
    eventually(lambda: len(starts(stack, "mail")) > before, within=20, what="a probe")
    stack.wait_empty(within=20)
    later = starts(stack, "mail")[before:]
    assert len(later) == 12
    probe_ended = next(entry.at for entry in stack.ledger.entries() if entry.event == "end")
    assert later[0] < probe_ended < later[1]


def test_panic_by_hand_holds_a_resource_and_ends_by_itself(stack: Stack) -> None:
    stack.worker(pool="threads", concurrency=4)
    with stack.store() as store:
        until_ms = store.now_ms() + 8000
        store.panic("mail", until_ms=until_ms, by="maria", reason="they block us")
    jobs = [f"mail-{n}" for n in range(8)]
    for job in jobs:
        stack.enqueue("use", job, "mail", resource="mail", org="acme")
    stack.enqueue("run", "other", org="acme")
    stack.wait_ended("other")
    picture = look(stack, "mail")
    assert (picture.breaker, picture.forced, picture.by, picture.waiting) == (
        "open",
        True,
        "maria",
        {"standard": 8},
    )
    stack.wait_ended(*jobs, within=25)
    assert min(starts(stack, "mail")) >= until_ms / 1000 - 0.05
    stack.ledger.assert_each_ran_once([*jobs, "other"])
    eventually(lambda: look(stack, "mail").breaker == "closed", within=3)


def test_a_timeout_counts_and_a_lost_worker_does_not(stack: Stack) -> None:
    limit(stack, "mail", breaker=Breaker(min_calls=2, open_seconds=60))
    limit(stack, "kill", breaker=Breaker(min_calls=2, open_seconds=60))
    stack.worker(pool="prefork", concurrency=2)
    for n in range(3):
        stack.enqueue("kill_process", f"kill-{n}", resource="kill")
    eventually(lambda: len(starts(stack, "kill")) >= 3, within=20, what="three children were killed")
    for n in range(2):
        stack.enqueue("run", f"slow-{n}", 30.0, resource="mail", run_limit=0.5, attempts=1)
    eventually(lambda: look(stack, "mail").breaker == "open", within=20, what="two timeouts open it")
    assert look(stack, "kill").breaker == "closed"
    assert look(stack, "kill").bad == 0


def test_a_new_worker_does_not_forget_what_is_open(stack: Stack) -> None:
    with stack.store() as store:
        store.panic("mail", by="maria")
    stack.worker(pool="threads", concurrency=2, settings={"RESOURCES": {"mail": {"max_in_flight": 2}}})
    stack.enqueue("use", "mail-1", "mail", resource="mail")
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        assert starts(stack, "mail") == []
    with stack.store() as store:
        assert store.panic_off("mail") is True
    stack.wait_ended("mail-1")


def test_in_a_django_project_rows_are_published_and_a_breakers_opening_is_in_the_audit_log(
    project: Project, stack: Stack
) -> None:
    settings = """
        from queueops.ops import broker, panic, resources
        from queueops.ops.permissions import Actor
        limits = {"breaker": True, "min_calls": 3, "max_in_flight": 2}
        resources.set_limit(Actor.shell("maria"), "mail", limits)
        with broker.store() as store:
            answer = [str(store.read_resources()["mail"].max_in_flight), len(resources.drift(store))]
    """
    assert project.python(settings) == ["2", 0]
    # Given a broker that has lost its limits, the first worker brings them back.
    with stack.store() as store:
        store.set_resources({"mail": None})
    project.worker(pool="threads", concurrency=4)
    wanted = ResourceLimits(max_in_flight=2, breaker=Breaker(min_calls=3))
    eventually(lambda: look(stack, "mail").limits == wanted, within=5, what="the row's limits")
    stack.ledger.break_down("mail")
    for n in range(6):
        stack.enqueue("use", f"mail-{n}", "mail", resource="mail")
    eventually(lambda: look(stack, "mail").breaker == "open", within=15)
    told = """
        from queueops.ops import panic
        answer = [[e.verb, e.who, e.parameters["reason"], e.result_count] for e in panic.history("mail")]
    """
    history = eventually(lambda: project.python(told), within=25, what="an entry in the audit log")
    [[verb, who, reason, held]] = history
    assert (verb, who) == ("panic", "breaker")
    assert reason.endswith("calls failed")
    assert held >= 1
