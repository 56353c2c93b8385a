"""kombu's own integration classes for Redis, over whatever broker ``TEST_BROKER`` names.

They are subclassed from upstream's Redis file, not from the bases: its ``PRIORITY_ORDER`` and its own
versions of the priority tests (one message a ``drain_events``) are what a Redis transport is held to.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import kombu
import pytest
from t.integration import test_redis as upstream

URL = os.environ["TEST_BROKER"]
SCHEME = URL.partition("://")[0]

if SCHEME == "queueops":
    import queueops.transport

    queueops.transport.register()


@pytest.fixture(params=[None, {"global_keyprefix": "_prefixed_"}], ids=["plain", "prefixed"])
def connection(request: Any) -> kombu.Connection:
    """A connection to the broker, without and with a prefix for every key."""
    return kombu.Connection(URL, transport_options=request.param)


@pytest.fixture
def invalid_connection() -> Any:
    """A connection to a port that is bound and refuses, so that nobody else can listen on it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield kombu.Connection(f"{SCHEME}://127.0.0.1:{taken.getsockname()[1]}")


class TestBasicFunctionality(upstream.test_RedisBasicFunctionality):
    """Connect, publish, consume, simple queues and buffers."""


class TestExchangeTypes(upstream.test_RedisBaseExchangeTypes):
    """Direct, topic and fanout exchanges."""


class TestPriority(upstream.test_RedisPriority):
    """Lower numbers first, also after a requeue."""


class TestMessage(upstream.test_RedisMessage):
    """Ack, reject and requeue."""


class TestEventLoop(upstream.test_RedisEventLoop):
    """Acknowledgement handed to the event loop from another thread."""
