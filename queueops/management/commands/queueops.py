"""`manage.py queueops ...`: the doorway from Django to the command line of queueops."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from queueops.cli import main

__all__ = ["Command"]


class Command(BaseCommand):
    """Hands everything that follows its name to `queueops.cli`."""

    help = "Operate queues: `queueops --help` lists the commands."
    # `queueops system check` is what asks for them; all other commands answer sooner without.
    requires_system_checks: list[str] = []

    def run_from_argv(self, argv: list[str]) -> None:
        """Run the command and end the process with its exit code."""
        main(argv[2:], program=f"{os.path.basename(argv[0])} {argv[1]}")

    def add_arguments(self, parser: CommandParser) -> None:
        """Take whatever there is, for `call_command`."""
        parser.add_argument("arguments", nargs="*")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the command as `run_from_argv` does."""
        main([*args, *options["arguments"]])
