"""An enqueue that waits for a replica."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from queueops.engine.store import Store
from queueops.errors import NotReplicated
from tests.engine.world import QUEUE, World
from tests.support.polling import eventually
from tests.support.ports import HOST
from tests.support.valkey import Valkey


@pytest.fixture
def primary() -> Iterator[Valkey]:
    """A server without a replica."""
    server = Valkey()
    yield server
    server.close()


@pytest.fixture
def replica(primary: Valkey) -> Iterator[Valkey]:
    """Its replica, in step with it."""
    server = Valkey()
    client = server.client()
    client.execute_command("REPLICAOF", HOST, primary.port)
    eventually(
        lambda: client.info("replication").get("master_link_status") == "up", within=30, what="the replica"
    )
    yield server
    server.close()


def test_it_returns_when_a_replica_has_the_job(primary: Valkey, replica: Valkey) -> None:
    world = World(primary.port, "")
    for number in range(20):
        job = world.job(replicas=1)

        assert world.store.enqueue(QUEUE, [job]) == ["ready"], number
        assert replica.client().exists(world.store.key("job", queue=QUEUE, tag=job.tag))


def test_without_one_it_says_that_the_job_is_enqueued_and_may_be_lost(primary: Valkey) -> None:
    world = World(primary.port, "")

    with pytest.raises(NotReplicated, match="0 of 1 replicas") as caught:
        world.store.enqueue(QUEUE, [world.job(replicas=1)])

    assert caught.value.words == ("ready",)
    assert world.store.queue_snapshot(QUEUE).ready == 1


def test_a_retry_is_not_refused_for_want_of_a_replica(primary: Valkey) -> None:
    world = World(primary.port, "")
    store: Store = world.store
    world.enqueue()
    held = world.one()

    words = store.enqueue(QUEUE, [world.job(task_id=held.task_id, supersedes=held.token, replicas=1)])

    assert words == ["ready"]
