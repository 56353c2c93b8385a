"""`manage.py dead_letters purge --days 30`: the doorway from a shell or a cron job to dead letters."""

from __future__ import annotations

import getpass
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from queueops.conf import config
from queueops.errors import QueueOpsError
from queueops.models import DeadLetter
from queueops.ops import dead_letters
from queueops.ops.permissions import Actor

__all__ = ["Command"]


class Command(BaseCommand):
    """Parses, calls one verb, prints what it did."""

    help = "Act on dead letters."

    def add_arguments(self, parser: CommandParser) -> None:
        """Define the verbs and their options."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        purge = verbs.add_parser("purge", help="Delete letters that are old enough, whatever their status.")
        purge.add_argument(
            "--days",
            type=int,
            help="Purge letters that died longer ago than this; the retention in the settings if not given.",
        )
        purge.add_argument(
            "--force",
            action="store_true",
            help="Also where that is shorter than the retention in the settings.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Purge and say how many; CommandError with the reason if it is refused."""
        days = config().dead_letter_retention_days if options["days"] is None else options["days"]
        if days < 0:
            raise CommandError("--days must not be negative.")
        old = DeadLetter.objects.died_before(timezone.now() - timedelta(days=days))
        try:
            done = dead_letters.purge(
                Actor.shell(getpass.getuser()), old, {"days": days}, force=options["force"]
            )
        except QueueOpsError as refused:
            raise CommandError(f"{refused} (--force)" if not options["force"] else str(refused)) from refused
        self.stdout.write(f"{done.count:,} letter{'' if done.count == 1 else 's'} purged.")
