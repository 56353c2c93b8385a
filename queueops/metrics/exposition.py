"""The text that Prometheus reads, whoever serves it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from queueops.metrics.collector import FiguresCollector
from queueops.ops.permissions import Actor

__all__ = ["exposition"]


def exposition(actor: Actor, accept: str = "") -> tuple[bytes, str]:
    """Return all metrics as text, and its content type: Prometheus' own format, or OpenMetrics where it is
    asked for.

    Args:
        accept: the header of that name.

    Raises:
        PermissionDenied: the actor may not see operations.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(FiguresCollector(actor))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
