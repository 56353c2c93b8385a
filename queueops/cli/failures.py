"""What went wrong, as one line that says what to do next, and as an exit code."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import click

__all__ = ["CODES", "Refused", "describe", "told"]

#: The exit codes and what they mean.
CODES = {
    0: "done",
    1: "refused, failed, or done in part",
    2: "wrong usage",
    3: "not found: queue, job, letter, schedule, worker, task or account",
    4: "broker or database unavailable",
    5: "no permission",
    6: "not healthy (`queue health`, `system doctor`, `system check`, `system alerts`)",
}


class Refused(Exception):
    """The command line itself refuses; `code` is the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        self.code = code
        super().__init__(message)


@contextmanager
def told(ctx: click.Context, debug: bool) -> Iterator[None]:
    """End the command with an exit code and one line on stderr where something goes wrong.

    Args:
        debug: show the traceback too.
    """
    try:
        yield
    except (click.exceptions.ClickException, click.exceptions.Exit, click.exceptions.Abort):
        raise
    except Exception as error:
        if debug:
            traceback.print_exc()
        code, line = describe(error)
        click.echo(f"Error: {line}", err=True)
        ctx.exit(code)


def describe(error: Exception) -> tuple[int, str]:
    """Return the exit code for an error, and a line that says what happened and what to do."""
    code, hint = _judged(error)
    line = " ".join(f"{error} {hint}".split())
    return code, line or f"{type(error).__name__}. --debug shows where."


def _judged(error: Exception) -> tuple[int, str]:
    # Imported here: where nothing fails, nobody waits for it.
    from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist, PermissionDenied
    from django.db.utils import InterfaceError, OperationalError, ProgrammingError
    from kombu.exceptions import OperationalError as BrokerError

    from queueops import errors

    if isinstance(error, Refused):
        return error.code, ""
    if isinstance(error, PermissionDenied):
        return 5, "Have it granted in admin, or name another account with --user."
    if isinstance(error, (ObjectDoesNotExist, *_unknown())):
        return 3, ""
    if isinstance(error, errors.BrokerFull):
        return 4, ""
    if isinstance(error, errors.BrokerUnavailable | BrokerError):
        return 4, "Check that it runs; CELERY_BROKER_URL names it."
    if isinstance(error, OperationalError | InterfaceError | ProgrammingError):
        return 4, "Check that the database runs, and that `manage.py migrate` has been called."
    if isinstance(error, errors.QueueOpsError | ImproperlyConfigured | ValueError):
        return 1, ""
    if isinstance(error, ImportError | RuntimeError):
        return 1, "--debug shows where."
    return 1, f"({type(error).__name__}; --debug shows where.)"


def _unknown() -> tuple[type[Exception], ...]:
    from queueops import errors

    return (
        errors.UnknownJob,
        errors.UnknownLetter,
        errors.UnknownQueue,
        errors.UnknownSchedule,
        errors.UnknownTask,
        errors.UnknownWorker,
    )
