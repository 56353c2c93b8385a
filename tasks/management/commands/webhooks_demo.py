"""``make demo``: real webhooks, a breaker that holds jobs, dead letters, replay."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

_SECONDS = 115.0


class Command(BaseCommand):
    """Doorway to :mod:`tasks.demo`."""

    help = (
        "Deliver real GitHub events to a local receiver; one org's endpoint breaks for a while and its "
        "breaker holds its jobs, another one's deliveries die and are replayed when it is mended. Exits 0 "
        "only if all held."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--here",
            action="store_true",
            help="use the broker, the database and the workers that the settings name, which must be on this "
            "machine and serve the queue webhooks; without it the demo starts its own",
        )

    def handle(self, *args: Any, here: bool, **options: Any) -> None:
        if here:
            self._play()
        else:
            self._play_on_own_stack()

    def _play_on_own_stack(self) -> None:
        from tasks.demo.stack import StackFailed, own_stack, play, worker_log

        # A plain SIGTERM would leave broker and worker behind; as an exception it takes them down.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        try:
            with own_stack() as environment:
                code = play(environment, "webhooks_demo", "--here", seconds=_SECONDS)
                if code:
                    self.stderr.write(f"The worker's last lines:\n{worker_log(environment, 40)}")
        except (StackFailed, subprocess.SubprocessError) as error:
            raise CommandError(str(error)) from error
        if code:
            sys.exit(code)

    def _play(self) -> None:
        from rich.console import Console

        from queueops.errors import QueueOpsError
        from tasks.demo.checks import checks
        from tasks.demo.report import print_breaker, print_checks, print_table
        from tasks.demo.scenario import EndpointsExist, tell

        console = Console()
        started = time.monotonic()
        try:
            story = tell(lambda line: console.print(line, highlight=False, markup=False))
        except (EndpointsExist, QueueOpsError) as error:
            raise CommandError(str(error)) from error
        found = checks(story)
        console.print()
        print_checks(console, found)
        print_table(console, story)
        print_breaker(console, story)
        console.print(f"{time.monotonic() - started:.1f} s", highlight=False)
        if not all(check.holds for check in found):
            raise CommandError("Not all held.")
