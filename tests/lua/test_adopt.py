"""adopt.lua: messages that stock Celery left in a list become jobs; nothing of stock's is ever popped."""

from __future__ import annotations

from tests.engine.world import QUEUE, World


def stock_publishes(world: World, *messages: str, queue: str = QUEUE) -> None:
    """As kombu's own Redis transport does it: LPUSH on the list named after the queue."""
    for message in messages:
        world.client.lpush(world.store.prefix + queue, message)


def test_a_stock_message_moves_from_the_list_to_a_lane(world: World) -> None:
    stock_publishes(world, "one")
    job = world.job("default", message="one")

    assert world.store.adopt(QUEUE, [(QUEUE, b"one", job)], now_ms=world.now) == 1

    keys = world.keyspace()
    assert keys[QUEUE] == [""]
    assert keys["qo1:ids"] == {job.task_id: f"standard\t{job.tag}"}
    assert world.queue().totals["adopted"] == 1
    assert world.one().message == "one"
    assert QUEUE not in world.keyspace()


def test_stock_elements_are_never_popped(world: World) -> None:
    stock_publishes(world, "old")
    world.enqueue("acme", number=5)
    stock_publishes(world, "new")

    jobs = world.take(3)
    world.settle(*jobs)
    assert world.queue().ready == 4, "depth counts what stock left there"
    world.take(5)
    world.store.purge(QUEUE, now_ms=world.now)

    assert world.keyspace()[QUEUE] == ["new", "old"]


def test_a_message_that_another_worker_took_first_is_left_to_it(world: World) -> None:
    job = world.job("default", message="one")

    assert world.store.adopt(QUEUE, [(QUEUE, b"one", job)], now_ms=world.now) == 0
    assert not [key for key in world.keyspace() if "job" in key]


def test_a_message_that_stock_held_twice_runs_once(world: World) -> None:
    stock_publishes(world, "one", "one")
    job = world.job("default", message="one")

    assert world.store.adopt(QUEUE, [(QUEUE, b"one", job)] * 2, now_ms=world.now) == 1
    assert world.queue().ready == 1


def test_a_message_with_a_time_waits_for_it(world: World) -> None:
    stock_publishes(world, "later")
    job = world.job("default", message="later", due_ms=world.now + 1000)

    assert world.store.adopt(QUEUE, [(QUEUE, b"later", job)], now_ms=world.now) == 1

    assert (world.queue().ready, world.queue().scheduled) == (0, 1)


def test_the_caller_keeps_stocks_order_by_due_times_in_the_past(world: World) -> None:
    messages = [f"m{number:03}" for number in range(150)]
    stock_publishes(world, *messages)
    newest_first = [
        (QUEUE, message.encode(), world.job("default", message=message, due_ms=world.now - number - 1))
        for number, message in enumerate(reversed(messages))
    ]

    assert world.store.adopt(QUEUE, newest_first, now_ms=world.now) == 150

    assert [job.message for job in world.take(150)] == messages


def test_lists_by_priority_are_emptied_into_one_queue(world: World) -> None:
    world.client.lpush(f"{world.store.prefix}{QUEUE}\x06\x163", "urgent")
    job = world.job("default", message="urgent")

    world.store.adopt(QUEUE, [(f"{QUEUE}\x06\x163", b"urgent", job)], now_ms=world.now)

    assert world.keyspace()[QUEUE] == [""]
    assert not [key for key in world.keyspace() if "\x06" in key]


def test_a_message_deep_in_the_list_waits_for_its_turn(world: World) -> None:
    # Else each of a hundred thousand messages would cost a walk over all others.
    stock_publishes(world, "deep", *(f"m{number}" for number in range(1000)))
    deep = world.job("default", message="deep")

    assert world.store.adopt(QUEUE, [(QUEUE, b"deep", deep)], now_ms=world.now) == 0
    world.client.lpop(world.store.prefix + QUEUE)
    assert world.store.adopt(QUEUE, [(QUEUE, b"deep", deep)], now_ms=world.now) == 1
