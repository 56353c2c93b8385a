"""queueops metrics serve."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec

import click

from queueops.cli.verbs import Answer, Call, verbs
from queueops.errors import MissingExtra
from queueops.ops.permissions import VIEW_OPERATIONS

commands = verbs()


@commands.command(needs=VIEW_OPERATIONS)
@click.option("--address", default="127.0.0.1", show_default=True, help="To listen on; others want a token.")
@click.option("--port", type=click.IntRange(0, 65_535), default=9808, show_default=True, help="0: any free.")
def serve(call: Call, address: str, port: int) -> Answer:
    """Serve /metrics for Prometheus where no web process runs, until Ctrl-C."""
    if find_spec("prometheus_client") is None:
        raise MissingExtra("Metrics", "metrics")
    from queueops.metrics import server

    with suppress(KeyboardInterrupt):
        server.serve(address, port, told=click.echo)
    return Answer(None)
