"""What a batch task says, how it is called by hand, and what a wrong option is told."""

from __future__ import annotations

from typing import Any

import pytest

from queueops import Batching, BatchJob
from queueops.errors import ConfigurationError
from tests.middleware.conftest import Bench


def test_a_batch_has_a_size_and_a_time() -> None:
    assert (Batching().size, Batching().seconds, Batching().per_org) == (100, 1.0, False)
    for wrong in ({"size": 0}, {"size": 1.5}, {"size": True}, {"seconds": -1}, {"seconds": float("nan")}):
        with pytest.raises(ConfigurationError):
            Batching(**wrong)  # type: ignore[arg-type]


def test_an_option_that_is_no_batching_is_refused_with_the_task(bench: Bench) -> None:
    with pytest.raises(ConfigurationError, match="batch of task"):

        @bench.task(name="batching.wrong", batch={"many": 3}, lazy=False)
        def wrong(jobs: list[BatchJob]) -> None: ...


def test_a_job_takes_what_its_handler_will_read_and_its_org_by_name(bench: Bench) -> None:
    @bench.task(name="batching.index", batch={"size": 3}, org_from="org_id")
    def index(jobs: list[BatchJob]) -> None: ...

    index.delay(7, org_id="acme", anything="goes")
    sent = bench.one()
    assert sent.body[:2] == [[7], {"org_id": "acme", "anything": "goes"}]
    assert sent.header["org"] == "acme"


def test_by_hand_it_gets_a_list_and_eagerly_a_batch_of_one(bench: Bench) -> None:
    seen: list[Any] = []

    @bench.task(name="batching.note", batch=Batching(size=3))
    def note(jobs: list[BatchJob]) -> None:
        seen.append([job if isinstance(job, str) else job.args for job in jobs])
        if not isinstance(jobs[0], str):
            jobs[0].succeed("result")

    note(["by hand"])
    assert note.apply((1, 2)).get() == "result"
    assert seen == [["by hand"], [(1, 2)]]


def test_a_worker_runs_one_job_as_a_batch_of_one(bench: Bench) -> None:
    @bench.task(name="batching.alone", batch=Batching())
    def alone(jobs: list[BatchJob]) -> None:
        [job] = jobs
        assert (job.args, job.org, job.attempt) == ((5,), "acme", 1)
        job.fail(ValueError("five"))

    alone.apply_async((5,), org="acme", attempts=1)
    error, state = bench.run(bench.one())
    assert state == "FAILURE" and "five" in str(error)
