"""One command to Redis and back, beside redis-py's own client and with the same results and errors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from redis.exceptions import ConnectionError, ResponseError

from queueops.engine import wire
from tests.support.ports import HOST, free_port
from tests.support.proxy import Proxy
from tests.support.valkey import Valkey


@pytest.fixture
def client(valkey: Valkey) -> Iterator[redis.Redis]:
    with valkey.client(decode_responses=False) as opened:
        yield opened


@pytest.mark.parametrize(
    ("args", "packed"),
    [
        (("PING",), b"*1\r\n$4\r\nPING\r\n"),
        (("SET", "ключ", b"\x00\xff"), "*3\r\n$3\r\nSET\r\n$8\r\nключ\r\n$2\r\n".encode() + b"\x00\xff\r\n"),
        (("X", 12, -1, 0.5, ""), b"*5\r\n$1\r\nX\r\n$2\r\n12\r\n$2\r\n-1\r\n$3\r\n0.5\r\n$0\r\n\r\n"),
    ],
)
def test_a_command_is_packed_in_redis_protocol(
    args: tuple[str | int | float | bytes, ...], packed: bytes
) -> None:
    assert wire.pack(args) == packed


def test_every_kind_of_argument_arrives_as_it_was(client: redis.Redis) -> None:
    values = ["text ü", b"\x00\r\n\xff", 42, 1.5, ""]
    assert wire.call(client, "RPUSH", "values", *values) == len(values)
    assert client.lrange("values", 0, -1) == ["text ü".encode(), b"\x00\r\n\xff", b"42", b"1.5", b""]


def test_an_error_of_the_server_leaves_the_connection_usable(client: redis.Redis) -> None:
    for _ in range(3):
        with pytest.raises(ResponseError, match="unknown command"):
            wire.call(client, "NOSUCH")
        with pytest.raises(ResponseError):
            wire.send(client, "NOSUCH")()
        assert wire.call(client, "PING") in (b"PONG", True)
    assert len(client.connection_pool._available_connections) == 1


def test_a_client_of_one_connection_keeps_its_own_way(valkey: Valkey) -> None:
    with valkey.client(decode_responses=False, single_connection_client=True) as single:
        assert wire.call(single, "RPUSH", "one", "a") == 1
        assert single.llen("one") == 1


def test_several_commands_may_be_under_way_and_each_reads_its_own_answer(client: redis.Redis) -> None:
    answers = [wire.send(client, "ECHO", str(n)) for n in range(5)]
    assert [answer() for answer in reversed(answers)] == [b"4", b"3", b"2", b"1", b"0"]
    assert client.echo("later") == b"later"


def test_a_cut_in_between_leaves_no_answer_for_the_next_command(valkey: Valkey) -> None:
    proxy = Proxy(valkey.port)
    try:
        with redis.Redis(host=HOST, port=proxy.port, retry=None) as client:
            assert wire.call(client, "ECHO", "before") == b"before"
            # The answer is on its way, and not in the client's socket already.
            proxy.delay_replies(5)
            answer = wire.send(client, "ECHO", "lost")
            proxy.cut()
            proxy.heal()
            with pytest.raises((ConnectionError, OSError)):
                answer()
            assert wire.call(client, "ECHO", "after") == b"after"
    finally:
        proxy.close()


def test_a_server_that_is_away_is_an_error_and_costs_no_connection() -> None:
    with redis.Redis(host=HOST, port=free_port(), retry=None) as client:
        for verb in (wire.call, wire.send):
            with pytest.raises(ConnectionError):
                verb(client, "PING")
        assert not client.connection_pool._in_use_connections
