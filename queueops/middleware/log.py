"""One structured line for each retry and each death."""

from __future__ import annotations

import logging
from typing import ClassVar

from queueops.engine.rules.states import OutcomeKind
from queueops.middleware.chain import Job, Middleware, Outcome

__all__ = ["Log", "logger"]

logger = logging.getLogger("queueops.jobs")


class Log(Middleware):
    """Logs what an operator looks for; `extra` holds job, org, queue, task and attempt for machines."""

    outcomes: ClassVar[frozenset[OutcomeKind] | None] = frozenset({OutcomeKind.RETRIED, OutcomeKind.DEAD})

    def after_run(self, job: Job, outcome: Outcome) -> None:
        """Log a retry as a warning, a death as an error; both say what happens next."""
        extra = {
            "job": job.task_id,
            "org": job.org,
            "queue": job.queue,
            "task": job.name,
            "attempt": job.attempt,
        }
        error = f"{type(outcome.error).__name__}: {outcome.error}"
        if outcome.kind is OutcomeKind.RETRIED:
            text = "%s[%s] of %s failed at attempt %d and runs again in %.0f s: %s"
            delay = outcome.delay_seconds or 0.0
            logger.warning(text, job.name, job.task_id, job.org, job.attempt, delay, error, extra=extra)
        else:
            text = "%s[%s] of %s is dead after attempt %d; replay it from the dead letters: %s"
            logger.error(text, job.name, job.task_id, job.org, job.attempt, error, extra=extra)
