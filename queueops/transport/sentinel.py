"""The channel on a primary that Sentinel names."""

from __future__ import annotations

import re
from typing import Any

from kombu.transport import redis as stock

from queueops.transport.channel import Channel

__all__ = ["SentinelChannel"]


class SentinelChannel(Channel, stock.SentinelChannel):
    """The same channel on a primary that Sentinel names: ``queueops-sentinel://host:26379;queueops-sentinel://…``."""

    from_transport_options = tuple(
        dict.fromkeys(Channel.from_transport_options + stock.SentinelChannel.from_transport_options)
    )

    def _sentinel_managed_pool(self, asynchronous: bool = False) -> Any:
        # Stock looks for the literal scheme "sentinel" among the alternates.
        client = self.connection.client
        urls, client.alt = (
            client.alt,
            [re.sub(r"^queueopss?-sentinel://", "sentinel://", url) for url in client.alt],
        )
        try:
            return super()._sentinel_managed_pool(asynchronous)
        finally:
            client.alt = urls
