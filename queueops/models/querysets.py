"""Questions to the rows, in the words of the operator."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import connections, models

from queueops.engine.rules.states import LetterStatus

if TYPE_CHECKING:
    from queueops.models import DeadLetter, OutboxEntry  # noqa: F401  named in text below

__all__ = ["BOUND", "DeadLetterQuerySet", "OutboxQuerySet", "SteppingQuerySet", "bounded_count"]

Row = TypeVar("Row", bound=models.Model)

#: Who wants to know of more rows wants a filter instead.
BOUND = 10_000


def bounded_count(rows: Any, bound: int = BOUND) -> int:
    """How many rows, counted up to one more than `bound`: enough to say "more than"."""
    # Without an order the count would sort; with a limit inside it stops.
    return int(rows.order_by()[: bound + 1].count())


class SteppingQuerySet(models.QuerySet[Row]):
    """Finds the different values of a column without reading the table."""

    def values_of(self, column: str, limit: int = 50) -> list[str]:
        """The first `limit` different values of an indexed column, in order.

        DISTINCT would read the whole index; this steps from each value to the next one that is larger.
        """
        connection = connections[self.db]
        quote = connection.ops.quote_name
        field: Any = self.model._meta.get_field(column)
        table, name = quote(self.model._meta.db_table), quote(field.column)
        with connection.cursor() as cursor:
            cursor.execute(
                f"WITH RECURSIVE step(value, nth) AS (SELECT MIN({name}), 1 FROM {table} UNION ALL "
                f"SELECT (SELECT MIN({name}) FROM {table} WHERE {name} > step.value), nth + 1 FROM step "
                "WHERE step.value IS NOT NULL AND nth < %s) SELECT value FROM step WHERE value IS NOT NULL",
                [limit],
            )
            return [value for (value,) in cursor.fetchall()]


class DeadLetterQuerySet(SteppingQuerySet["DeadLetter"]):
    """Letters in the words of the operator."""

    def parked(self) -> DeadLetterQuerySet:
        """Letters that nobody has replayed or discarded."""
        return self.filter(status=LetterStatus.PARKED)

    def of_status(self, status: str, *, narrowed: bool) -> DeadLetterQuerySet:
        """Letters of one status.

        Args:
            narrowed: whether another filter with an index narrows the letters down already.
        """
        if narrowed:
            # Said in the negative, so that no planner walks the index of all parked letters in search of the
            # few of one org: the other filter's index passes over what is not parked.
            return self.exclude(status__in=[other for other in LetterStatus if other != status])
        return self.filter(status=status)

    def died_before(self, moment: datetime) -> DeadLetterQuerySet:
        """Letters that are older than `moment`."""
        return self.filter(died_at__lt=moment)

    def died_since(self, moment: datetime) -> DeadLetterQuerySet:
        """Letters that died at `moment` or later."""
        return self.filter(died_at__gte=moment)

    def line_of(self, letter: DeadLetter) -> DeadLetterQuerySet:
        """The letter's line: the first death of its job and the death of each replay, oldest first."""
        first = letter.origin_id or letter.pk
        return self.filter(models.Q(pk=first) | models.Q(origin_id=first)).order_by("replay_number", "pk")

    def counted_by_span(
        self, fingerprints: Sequence[str], moments: Sequence[datetime], **columns: str
    ) -> dict[str, list[int]]:
        """How many letters of each error died in each span between two of the moments, all by one index.

        Args:
            fingerprints: of the errors.
            moments: in order; between n of them are n - 1 spans.
            columns: values of `status`, `queue` and `org`; "" is any.
        """
        found = {one: [0] * (len(moments) - 1) for one in fingerprints}
        if not found:
            return found
        connection = connections[self.db]
        at = [connection.ops.adapt_datetimefield_value(moment) for moment in moments]
        spans = [value for nth in range(len(at) - 1) for value in (nth, at[nth], at[nth + 1])]
        said = {name: value for name, value in columns.items() if value}
        # COALESCE keeps planners from the indexes of these columns: the one of the errors has them all.
        more = "".join(f" AND COALESCE(letter.{connection.ops.quote_name(name)}, '') = %s" for name in said)
        table = connection.ops.quote_name(self.model._meta.db_table)
        with connection.cursor() as cursor:
            # GROUP BY would sort all letters of the time, and truncate the time of each.
            cursor.execute(
                f"WITH span(nth, since, until) AS (VALUES {', '.join(['(%s, %s, %s)'] * (len(at) - 1))}), "
                f"error(fingerprint) AS (VALUES {', '.join(['(%s)'] * len(found))}) "
                f"SELECT error.fingerprint, span.nth, (SELECT COUNT(*) FROM {table} letter "
                "WHERE letter.fingerprint = error.fingerprint AND letter.died_at >= span.since "
                f"AND letter.died_at < span.until{more}) FROM error, span",
                [*spans, *found, *said.values()],
            )
            for fingerprint, nth, count in cursor.fetchall():
                found[fingerprint][nth] = count
        return found


class OutboxQuerySet(SteppingQuerySet["OutboxEntry"]):
    """Rows of the outbox in the words of the operator."""

    def waiting(self) -> OutboxQuerySet:
        """Rows that are to be relayed, in their order."""
        return self.filter(refused_at__isnull=True).order_by("id")

    def refused(self) -> OutboxQuerySet:
        """Rows that the broker has refused; they wait for a person."""
        return self.filter(refused_at__isnull=False)
