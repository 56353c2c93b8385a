"""Every name that we override or use of kombu and Celery below their public interface, held to its signature.

A new release of either that moves one of them fails here, with its name, and not in production.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from celery.worker.consumer import Consumer as StockConsumer
from celery.worker.request import Request as StockRequest
from kombu.transport import redis as stock
from kombu.transport import virtual

from queueops.middleware.consumer import Consumer
from queueops.middleware.request import Request
from queueops.transport.channel import Channel
from queueops.transport.publishing import PublishingChannel
from queueops.transport.qos import QoS
from queueops.transport.sentinel import SentinelChannel
from queueops.transport.transport import Poller, Transport

BASES: dict[type, type] = {
    PublishingChannel: stock.Channel,
    Channel: stock.Channel,
    SentinelChannel: stock.SentinelChannel,
    QoS: virtual.QoS,
    Poller: stock.MultiChannelPoller,
    Transport: stock.Transport,
    Consumer: StockConsumer,
    Request: StockRequest,
}

#: (our class, name) -> parameters of the method that it overrides.
OVERRIDDEN: dict[tuple[type, str], str] = {
    (Channel, "__init__"): "self *args **kwargs",
    (Channel, "_basic_cancel"): "self consumer_tag",
    (Channel, "_brpop_read"): "self **options",
    (Channel, "_brpop_start"): "self timeout",
    (Channel, "_delete"): "self queue exchange routing_key pattern *args **kwargs",
    (PublishingChannel, "_inplace_augment_message"): "self message exchange routing_key",
    (PublishingChannel, "_next_delivery_tag"): "self",
    (Channel, "_on_connection_disconnect"): "self connection",
    (Channel, "_purge"): "self queue",
    (PublishingChannel, "_put"): "self queue message **kwargs",
    (PublishingChannel, "_queue_bind"): "self exchange routing_key pattern queue",
    (Channel, "_size"): "self queue",
    (Channel, "_update_queue_cycle"): "self",
    (Channel, "basic_consume"): "self queue *args **kwargs",
    (Channel, "basic_get"): "self queue no_ack **kwargs",
    (Channel, "basic_qos"): "self prefetch_size prefetch_count apply_global",
    (Channel, "close"): "self",
    (PublishingChannel, "decode_body"): "self body encoding",
    (
        PublishingChannel,
        "prepare_message",
    ): "self body priority content_type content_encoding headers properties",
    (SentinelChannel, "_sentinel_managed_pool"): "self asynchronous",
    (QoS, "ack"): "self delivery_tag",
    (QoS, "append"): "self message delivery_tag",
    (QoS, "can_consume"): "self",
    (QoS, "reject"): "self delivery_tag requeue",
    (QoS, "restore_unacked"): "self",
    (QoS, "restore_visible"): "self *args **kwargs",
    (Poller, "get"): "self callback timeout",
    (Poller, "maybe_restore_messages"): "self",
    (Poller, "on_poll_init"): "self poller",
    (Poller, "on_poll_start"): "self",
    (Transport, "register_with_event_loop"): "self connection loop",
    (Transport, "__init__"): "self *args **kwargs",
    (Transport, "driver_version"): "self",
    (Consumer, "cancel_task_queue"): "self queue",
    (Consumer, "create_task_handler"): "self promise",
    (Consumer, "on_close"): "self",
    (Consumer, "on_decode_error"): "self message exc",
    (Consumer, "shutdown"): "self",
    (Request, "_announce_revoked"): "self reason terminated signum expired",
    (Request, "acknowledge"): "self",
    (Request, "on_accepted"): "self pid time_accepted",
    (Request, "on_failure"): "self exc_info send_failed_event return_ok",
    (Request, "on_retry"): "self exc_info",
    (Request, "on_success"): "self failed__retval__runtime **kwargs",
    (Request, "on_timeout"): "self soft timeout",
    (Request, "reject"): "self requeue",
}

#: What we read or call, though it has a private name or no promise behind it.
USED: dict[type, tuple[str, ...]] = {
    stock.Channel: (
        "_in_poll", "_in_listen", "_brpop_sent_at", "_flush_brpop_reauth", "_get_pool", "_create_client",
        "active_queues", "conn_or_acquire", "global_keyprefix", "_fanout_queues", "pool", "client",
    ),
    stock.MultiChannelPoller: (
        "_unregister_from_poll", "_register_BRPOP", "_register_LISTEN", "eventflags", "fds",
    ),
    virtual.QoS: ("_flush",),
    StockRequest: ("_worker_lost_info", "_success_was_stored", "_context", "send_event", "revoked"),
    StockConsumer: ("on_unknown_task",),
}  # fmt: skip


def parameters(function: Any) -> str:
    """Return the parameters' names, as they are written in the tables above."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    found = inspect.signature(function).parameters.values()
    return " ".join(stars.get(parameter.kind, "") + parameter.name for parameter in found)


@pytest.mark.parametrize(("ours", "name"), list(OVERRIDDEN), ids=lambda part: getattr(part, "__name__", part))
def test_an_overridden_method_has_the_parameters_we_know(ours: type, name: str) -> None:
    assert parameters(getattr(BASES[ours], name)) == OVERRIDDEN[ours, name]


@pytest.mark.parametrize("ours", list(BASES), ids=lambda ours: ours.__name__)
def test_every_overridden_method_is_in_the_table(ours: type) -> None:
    def overrides(name: str) -> bool:
        stock_value = getattr(BASES[ours], name, None)
        dunder = name.startswith("__") and name != "__init__"
        return inspect.isfunction(stock_value) and not dunder

    overridden = {name for name in vars(ours) if overrides(name)}
    # A request takes whatever Celery's own takes.
    known = {name for cls, name in OVERRIDDEN if cls is ours} | ({"__init__"} if ours is Request else set())
    assert overridden == known & overridden
    assert {name for cls, name in OVERRIDDEN if cls is ours} <= overridden


@pytest.mark.parametrize("theirs", list(USED), ids=lambda theirs: theirs.__name__)
def test_what_we_use_is_there(theirs: type) -> None:
    assert [name for name in USED[theirs] if not hasattr(theirs, name)] == []
