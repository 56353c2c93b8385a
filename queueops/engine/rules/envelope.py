"""The string that Redis keeps for a waiting job: a head line that scripts read, then Celery's message as
it is.

The head is text, so an operator can read it with GET. Its layout is also in ``lua/lib/jobs.lua``::

    deliveries TAB org TAB resource TAB task TAB task id TAB patience ms TAB deadline ms TAB flags
    TAB run limit ms TAB first enqueued ms TAB attempt NEWLINE message

``deliveries`` has two digits that ``lib/giveback.lua`` overwrites in place, so a lost lease does not rewrite
the message. ``flags``: ``o`` for a job that must not run twice, ``x`` for one that must not run late.
"""

from __future__ import annotations

from dataclasses import dataclass

from queueops.engine.rules.values import NAME
from queueops.errors import InvalidMessage, InvalidOrg, InvalidResource

#: Longest task name or task id in bytes; with it a head always fits what the scripts read of a job.
NAME_LIMIT = 255
#: Most jobs that one job waits for.
PARENTS_LIMIT = 1000
#: Longest digest of a unique key.
UNIQUE_LIMIT = 64
#: Longest tag in bytes: it is part of a key.
TAG_LIMIT = 512


# Not frozen: setting each field around the guard would cost a publisher of many jobs some 3 us for each.
@dataclass(slots=True)
class NewJob:
    """A job to be enqueued. Nobody changes one; `replace` makes another. Times are in ms since the epoch;
    0 means none.

    ``due_ms`` is when it may run, ``deadline_ms`` when it should be finished; with ``expires_late`` it dies
    when its turn comes after that. ``once``: never run twice, even when its worker is lost. ``repeated``: the
    tag may have been published before, also if its job has ended since.
    ``supersedes``: token of the lease that this job (its retry) ends in the same step; ``counts_as_failure``:
    that attempt is a failure for its resource's breaker. ``run_ms``: how long it ran, if known; ``error``,
    ``error_message``: what it ended with, for the history.
    ``after``: task ids that must have succeeded before; ``cancel_with_parent``: one that dies or is cancelled
    takes this job along (otherwise it stays blocked). ``keep_ms``: how long beyond two minutes its success
    is remembered for jobs that wait for it.
    ``unique``: digest of its unique key, which no other job may hold; ``unique_ms``: for how long (0: as long
    as the job lives). ``replays``: a dead job comes back; it waits for no other job and no limit refuses it.
    A retry keeps what its first enqueue said of these. ``replicas``: how many must have received it before
    the enqueue returns.
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
    expires_late: bool = False
    once: bool = False
    run_limit_ms: int = 0
    first_ms: int = 0
    attempt: int = 0
    repeated: bool = False
    supersedes: str = ""
    counts_as_failure: bool = False
    after: tuple[str, ...] = ()
    cancel_with_parent: bool = False
    keep_ms: int = 0
    unique: str = ""
    unique_ms: int = 0
    replays: bool = False
    run_ms: float | None = None
    error: str = ""
    error_message: str = ""
    replicas: int = 0


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
    expires_late: bool = False


def pack(job: NewJob) -> str:
    """Return the job string.

    Raises :class:`InvalidOrg`, :class:`InvalidResource` or :class:`InvalidMessage` when a name can not
    stand in a key or in the head line.
    """
    if not NAME.fullmatch(job.org):
        raise InvalidOrg(job.org)
    if job.resource and not NAME.fullmatch(job.resource):
        raise InvalidResource(job.resource)
    names = job.task + job.task_id + job.tag
    if not (len(names) <= NAME_LIMIT and names.isascii() and names.isprintable()):
        _check_names(job)
    flags = ("o" if job.once else "") + ("x" if job.expires_late else "")
    return (
        f"00\t{job.org}\t{job.resource}\t{job.task}\t{job.task_id}\t{job.patience_ms}\t{job.deadline_ms}\t"
        f"{flags}\t{job.run_limit_ms}\t{job.first_ms}\t{job.attempt}\n{job.message}"
    )


def _check_names(job: NewJob) -> None:
    for what, name, limit in (
        ("task name", job.task, NAME_LIMIT),
        ("task id", job.task_id, NAME_LIMIT),
        ("tag", job.tag, TAG_LIMIT),
    ):
        if len(name.encode("utf-8", "surrogatepass")) > limit or not name.isprintable():
            raise InvalidMessage(
                f"The {what} must be at most {limit} bytes of printable text, got {name[:100]!r}."
            )


def options(job: NewJob) -> str:
    """Return what only some jobs have, as enqueue.lua takes it: empty for a plain job.

    Raises :class:`InvalidMessage` when a task id or the digest can not stand in a key.
    """
    if not (job.repeated or job.supersedes or job.after or job.unique or job.keep_ms or job.replays):
        return ""
    items = ["r"] if job.repeated else []
    if job.replays:
        items.append("g")
    if job.supersedes:
        # Its first enqueue has settled everything else.
        return "\t".join([*items, "f"] if job.counts_as_failure else items)
    if job.after:
        items += _parents(job)
    if job.unique:
        if len(job.unique) > UNIQUE_LIMIT or not job.unique.isprintable():
            raise InvalidMessage(
                f"The digest of a unique key must be at most {UNIQUE_LIMIT} printable characters,"
                f" got {job.unique!r}."
            )
        items.append(f"u{job.unique}")
        if job.unique_ms:
            items.append(f"U{job.unique_ms}")
    if job.keep_ms:
        items.append(f"k{job.keep_ms}")
    return "\t".join(items)


def _parents(job: NewJob) -> list[str]:
    parents = tuple(dict.fromkeys(job.after))
    if len(parents) > PARENTS_LIMIT:
        raise InvalidMessage(f"A job may wait for at most {PARENTS_LIMIT:,} others, got {len(parents):,}.")
    for parent in parents:
        # A hold stands among the parents as "!" and a number, so no task id may begin like one.
        if (
            not parent
            or parent.startswith("!")
            or not parent.isprintable()
            or len(parent.encode()) > NAME_LIMIT
        ):
            raise InvalidMessage(f"A job can not wait for {parent[:100]!r}: that is no task id.")
    if job.task_id in parents:
        raise InvalidMessage(f"Job {job.task_id!r} can not wait for itself.")
    return [*(["x"] if job.cancel_with_parent else []), *(f"a{parent}" for parent in parents)]


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
        "x" in flags,
    )
    return head, message
