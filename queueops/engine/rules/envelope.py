"""The string that Redis keeps for a waiting job: a head line that scripts read, then Celery's message as
it is.

The head is text, so an operator can read it with GET. Its layout is also in ``lua/lib/jobs.lua``::

    deliveries TAB org TAB resource TAB task TAB task id TAB patience ms TAB deadline ms TAB flags
    TAB run limit ms TAB first enqueued ms TAB attempt NEWLINE message

``deliveries`` has two digits that ``lib/giveback.lua`` overwrites in place, so a lost lease does not rewrite
the message. ``flags``: ``o`` for a job that must not run twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from queueops.engine.rules.values import NAME
from queueops.errors import InvalidMessage, InvalidOrg, InvalidResource

#: Longest task name or task id in bytes; with it a head always fits what the scripts read of a job.
NAME_LIMIT = 255
#: Longest tag in bytes: it is part of a key.
TAG_LIMIT = 512


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be enqueued. Times are in ms since the epoch; 0 means none.

    ``due_ms`` is when it may run, ``deadline_ms`` when it should be finished. ``once``: never run twice,
    even when its worker is lost. ``repeated``: the tag may have been published before, also if its job has
    ended since.
    ``supersedes``: token of the lease that this job (its retry) ends in the same step.
    """

    tag: str
    task_id: str
    task: str
    org: str
    message: str
    resource: str = ""
    patience_ms: int = 1_200_000
    deadline_ms: int = 0
    due_ms: int = 0
    once: bool = False
    run_limit_ms: int = 0
    first_ms: int = 0
    attempt: int = 0
    repeated: bool = False
    supersedes: str = ""
    counts_as_failure: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """What the scripts know of a job."""

    deliveries: int
    org: str
    resource: str
    task: str
    task_id: str
    patience_ms: int
    deadline_ms: int
    once: bool
    run_limit_ms: int
    first_ms: int
    attempt: int


def pack(job: NewJob) -> str:
    """Return the job string.

    Raises :class:`InvalidOrg`, :class:`InvalidResource` or :class:`InvalidMessage` when a name can not
    stand in a key or in the head line.
    """
    if not NAME.fullmatch(job.org):
        raise InvalidOrg(job.org)
    if job.resource and not NAME.fullmatch(job.resource):
        raise InvalidResource(job.resource)
    for what, name, limit in (
        ("task name", job.task, NAME_LIMIT),
        ("task id", job.task_id, NAME_LIMIT),
        ("tag", job.tag, TAG_LIMIT),
    ):
        if len(name.encode("utf-8", "surrogatepass")) > limit or not name.isprintable():
            raise InvalidMessage(
                f"The {what} must be at most {limit} bytes of printable text, got {name[:100]!r}."
            )
    return (
        f"00\t{job.org}\t{job.resource}\t{job.task}\t{job.task_id}\t{job.patience_ms}\t{job.deadline_ms}\t"
        f"{'o' if job.once else ''}\t{job.run_limit_ms}\t{job.first_ms}\t{job.attempt}\n{job.message}"
    )


def unpack(text: str) -> tuple[Head, str]:
    """Return the head and the message of a job string."""
    line, _, message = text.partition("\n")
    deliveries, org, resource, task, task_id, patience, deadline, flags, limit, first, attempt = line.split(
        "\t"
    )
    head = Head(
        int(deliveries),
        org,
        resource,
        task,
        task_id,
        int(patience),
        int(deadline),
        "o" in flags,
        int(limit),
        int(first),
        int(attempt),
    )
    return head, message
