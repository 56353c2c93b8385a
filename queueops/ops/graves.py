"""What the broker remembers of dead jobs: jobs can wait for them, until their letters are closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import redis

from queueops.engine.job_verbs import Children
from queueops.engine.store import Store
from queueops.errors import BrokerUnavailable, ConfigurationError
from queueops.ops import broker

__all__ = ["Children", "Graves", "graves"]

Answer = TypeVar("Answer")


class Graves:
    """The dead jobs of a broker that may be away: closing a letter is the database's affair and does not fail
    with it. A grave that stays behind only lets jobs wait for a letter that is gone.
    """

    def __init__(self, store: Store | None) -> None:
        self._store = store

    def waiting_for(self, task_ids: Sequence[str]) -> dict[str, int]:
        """How many jobs wait for each of these, without those that none waits for."""
        return self._ask(lambda store: store.waiting_for(task_ids), {})

    def close(self, task_ids: Sequence[str], children: Children = "keep") -> None:
        """Forget these dead jobs; `children` says what becomes of the jobs that wait for them."""
        self._ask(lambda store: store.unbury(task_ids, children), 0)

    def _ask(self, question: Callable[[Store], Answer], otherwise: Answer) -> Answer:
        if self._store is None:
            return otherwise
        try:
            return question(self._store)
        except (redis.RedisError, OSError):
            self._store = (
                None  # whoever is away once is not asked again: each question may wait for an answer
            )
            return otherwise


@contextmanager
def graves() -> Iterator[Graves]:
    """The graves of the project's broker, for one verb."""
    with ExitStack() as stack:
        try:
            store = stack.enter_context(broker.store())
        except (BrokerUnavailable, ConfigurationError):
            store = None
        yield Graves(store)
