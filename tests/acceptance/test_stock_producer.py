"""A producer that still uses stock Celery's Redis transport, on the same server."""

from __future__ import annotations

from celery import Celery

from tests.support.polling import eventually, stays
from tests.support.stack import Stack


def stock_app(stack: Stack) -> Celery:
    app = Celery("stock", set_as_current=False)
    app.conf.update(broker_url=stack.broker.url, task_ignore_result=True)
    stack.apps.append(app)
    return app


def test_messages_of_a_stock_producer_are_adopted_and_run_once(stack: Stack) -> None:
    # Given a stock producer's messages, of every priority step, beside one of ours
    stock = stock_app(stack)
    jobs = [f"stock-{n}" for n in range(12)]
    for n, job in enumerate(jobs):
        stock.send_task("ledger.run", [job], queue="standard", priority=[None, 0, 3, 9][n % 4])
    stack.enqueue("run", "ours", org="acme")
    # When a worker starts
    stack.worker(pool="threads", concurrency=2)
    # Then all run, the stock ones as the default org's
    stack.wait_ended("ours", *jobs)
    stack.wait_empty()
    stack.ledger.assert_each_ran_once(["ours", *jobs])
    assert stack.broker.client().llen("standard") == 0
    assert not stack.broker.client().keys("standard\x06*"), "the lists of its other priorities are empty"


def test_a_stock_message_that_comes_later_is_never_thrown_away(stack: Stack) -> None:
    """The list named after the queue mirrors its depth; nothing of ours may pop what is not ours."""
    worker = stack.worker(pool="threads", concurrency=2)
    stock_app(stack).send_task("ledger.run", ["stray"], queue="standard")
    jobs = [f"ours-{n}" for n in range(10)]
    for job in jobs:
        stack.enqueue("run", job)
    stack.wait_ended(*jobs)
    eventually(lambda: stack.snapshot().leased == 0, within=10, what="ours are settled")

    def kept_or_run() -> bool:
        return stack.ledger.ends("stray") == 1 or stack.broker.client().llen("standard") == 1

    stays(kept_or_run, during=0.5, what="the stray message lies in the list, or was adopted and ran")
    worker.stop()
    # At the latest the next worker that starts takes it in.
    stack.worker(pool="threads", concurrency=1)
    stack.wait_ended("stray")
    stack.wait_empty()
    stack.ledger.assert_each_ran_once(["stray", *jobs])


def test_a_stock_message_with_an_eta_waits_for_it_in_the_broker(stack: Stack) -> None:
    """Stock workers hold it in memory; ours must not, and must not run it at once either."""
    stock_app(stack).send_task("ledger.run", ["later"], queue="standard", countdown=600)
    stack.worker(pool="threads", concurrency=1)
    eventually(lambda: stack.snapshot().scheduled == 1, within=5, what="it waits in the broker")
    seen = stack.snapshot()
    assert (seen.ready, seen.leased) == (0, 0)
    assert stack.ledger.count() == 0
