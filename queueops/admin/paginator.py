"""Pages whose cost does not grow with the table."""

from __future__ import annotations

from functools import cached_property

from django.core.paginator import Paginator

from queueops.models.querysets import BOUND, bounded_count

__all__ = ["BoundedPaginator"]


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts at most 10,001 rows. Who wants to see the 10,001st row wants a filter instead."""

    @cached_property
    def count(self) -> int:
        """The number of rows, 10,000 at most."""
        return min(self._counted, BOUND)

    @property
    def is_more(self) -> bool:
        """Whether there are more rows than `count`."""
        return self._counted > BOUND

    @cached_property
    def _counted(self) -> int:
        return bounded_count(self.object_list)
