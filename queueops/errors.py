"""Everything queueops raises, in one tree. A class's docstring is its default message."""

from __future__ import annotations

from collections.abc import Iterable

from kombu.exceptions import OperationalError

__all__ = [
    "AddressRefused",
    "BrokerFull",
    "BrokerUnavailable",
    "ConfigurationError",
    "DependencyCycle",
    "DrainRefused",
    "InvalidCursor",
    "InvalidMessage",
    "InvalidOrg",
    "InvalidPriority",
    "InvalidResource",
    "JobCancelled",
    "JobExists",
    "LimitInvalid",
    "LimitReached",
    "MissingExtra",
    "NotReplicated",
    "OrgRefused",
    "PayloadTooLarge",
    "PublishError",
    "QueueFull",
    "QueueOpsError",
    "ReplayRefused",
    "RetentionRefused",
    "ScheduleRefused",
    "StaleLease",
    "TokenRefused",
    "TooManyStreams",
    "UnknownJob",
    "UnknownLetter",
    "UnknownParent",
    "UnknownQueue",
    "UnknownSchedule",
    "UnknownTask",
    "UnknownWorker",
]


class QueueOpsError(Exception):
    """queueops could not do what was asked."""

    # Exceptions cross process borders as (class, args): `args` therefore stays what the constructor was
    # given, and the sentence is made when somebody reads it.
    def __str__(self) -> str:
        if self.args:
            return " ".join(str(part) for part in self.args)
        # The first paragraph of the docstring: what follows is for readers of the code.
        return " ".join((type(self).__doc__ or "").partition("\n\n")[0].split())


class ConfigurationError(QueueOpsError):
    """A setting has a value that queueops cannot work with."""


class MissingExtra(ConfigurationError):
    """A package that this needs is not installed.

    Attributes:
        what: what needs it, as "Schedules".
        extra: the extra of queueops that installs it.
        app: what INSTALLED_APPS needs beside it, "" for nothing.
    """

    def __init__(self, what: str = "", extra: str = "", app: str = "") -> None:
        self.what, self.extra, self.app = what, extra, app
        super().__init__(what, extra, app)

    def __str__(self) -> str:
        added = f' and add "{self.app}" to INSTALLED_APPS' if self.app else ""
        return f"{self.what} need a package that is not there: pip install 'queueops[{self.extra}]'{added}."


class PublishError(QueueOpsError):
    """The job was not published.

    Attributes:
        enqueued: ids of the jobs that a call for many had enqueued before it failed.
    """

    enqueued: tuple[str, ...] = ()


class UnknownQueue(PublishError):
    """The job was not published: its queue is not declared."""

    def __init__(self, queue: str = "", known: Iterable[str] = ()) -> None:
        self.queue, self.known = queue, tuple(sorted(known))
        super().__init__(queue, self.known)

    def __str__(self) -> str:
        known = ", ".join(self.known) or "none"
        return (
            f"Queue {self.queue!r} is not declared, so no worker would serve it. Known queues: {known}. "
            'Declare it in QUEUEOPS["QUEUES"] or in task_queues.'
        )


class UnknownTask(PublishError):
    """The job was not published: no task of this name is registered.

    Attributes:
        task: the name that was given.
        near: registered names that look like it, the nearest first.
    """

    def __init__(self, task: str = "", near: Iterable[str] = ()) -> None:
        self.task, self.near = task, tuple(near)
        super().__init__(task, self.near)

    def __str__(self) -> str:
        meant = f" Did you mean {' or '.join(self.near)}?" if self.near else ""
        return f"No task {self.task!r} is registered, so no worker could run it.{meant}"


class InvalidOrg(PublishError):
    """The org's name is not 1 to 128 characters of letters, digits and ". _ @ -"."""

    noun = "Org"

    def __init__(self, name: object = None) -> None:
        self.name = name
        super().__init__(*(() if name is None else (name,)))

    def __str__(self) -> str:
        if self.name is None:
            return super().__str__()
        rule = '1 to 128 characters of letters, digits and ". _ @ -"'
        return f"{self.noun} {self.name!r} is refused: a name is {rule}."


class InvalidResource(InvalidOrg):
    """The resource's name is not 1 to 128 characters of letters, digits and ". _ @ -"."""

    noun = "Resource"


class InvalidPriority(PublishError):
    """The priority is out of its range."""

    def __init__(self, value: object = None, allowed: str = "0 (sooner) to 10 (later)") -> None:
        self.value, self.allowed = value, allowed
        super().__init__(value, allowed)

    def __str__(self) -> str:
        return f"Priority {self.value!r} is refused: allowed is {self.allowed}."


class PayloadTooLarge(PublishError):
    """The message is larger than the limit."""

    def __init__(self, size: int = 0, limit: int = 0) -> None:
        self.size, self.limit = size, limit
        super().__init__(size, limit)

    def __str__(self) -> str:
        return (
            f"The message has {self.size:,} bytes, the limit is {self.limit:,}. Store the blob elsewhere "
            "(file store, database row) and pass its key to the task."
        )


class UnknownParent(PublishError):
    """The job was not published: a job that it should wait for is not known."""

    def __init__(self, task_id: str = "") -> None:
        self.task_id = task_id
        super().__init__(*((task_id,) if task_id else ()))

    def __str__(self) -> str:
        if not self.task_id:
            return super().__str__()
        return (
            f"No job {self.task_id!r} waits, runs or is dead, and none succeeded in the last two minutes, "
            "so nothing would ever release a job that waits for it. Publish the parent first; if it may end "
            "long before its children are published, give it keep_for."
        )


class QueueFull(PublishError):
    """The job was not published: as many jobs are ready as the queue, or the org in it, may have."""

    def __init__(self, queue: str = "", depth: int = 0, limit: int = 0, org: str = "") -> None:
        self.queue, self.depth, self.limit, self.org = queue, depth, limit, org
        super().__init__(queue, depth, limit, org)

    def __str__(self) -> str:
        whose = f" of org {self.org!r}" if self.org else ""
        setting = "max_ready_per_org" if self.org else "max_ready"
        return (
            f"Queue {self.queue!r} has {self.depth:,} ready jobs{whose}, the limit is {self.limit:,}. "
            f"Publish again later, give the job an ETA, or raise {setting} of the queue."
        )


class InvalidMessage(PublishError):
    """The message is not one that Celery could run."""


class DependencyCycle(PublishError):
    """The jobs were not published: each of them waits for another one of them."""

    def __init__(self, task_ids: Iterable[str] = ()) -> None:
        self.task_ids = tuple(task_ids)
        super().__init__(*((self.task_ids,) if self.task_ids else ()))

    def __str__(self) -> str:
        if not self.task_ids:
            return super().__str__()
        circle = " after ".join((*self.task_ids, self.task_ids[0]))
        return f"The jobs were not published: they wait for one another in a circle ({circle})."


class JobExists(PublishError):
    """The job was not published: another one has its unique key.

    `apply_async` answers it with the result of the job that is there; only code that publishes messages by
    itself sees this error.

    Attributes:
        task_id: of the job that is there.
        refused: of the job that was not published, "" where nobody has said.
    """

    refused = ""

    def __init__(self, task_id: str = "") -> None:
        self.task_id = task_id
        super().__init__(*((task_id,) if task_id else ()))

    def __str__(self) -> str:
        if not self.task_id:
            return super().__str__()
        return f"The job was not published: job {self.task_id} has its unique key."


class JobCancelled(PublishError):
    """The job was not published: it was cancelled while it ran, or goes with a parent that is dead."""

    #: Its task id, "" where nobody has said.
    refused = ""


class BrokerUnavailable(PublishError, OperationalError):
    """The broker did not answer. Nothing is known to be lost; publish again when it is back."""


class BrokerFull(BrokerUnavailable):
    """The broker's memory is full, so it takes no new job. Jobs it holds still run and make room."""


class NotReplicated(PublishError):
    """The job is enqueued, but not enough replicas have confirmed that they have it too.

    Attributes:
        words: what the broker answered of each job of the step.
    """

    words: tuple[str, ...] = ()

    def __init__(self, wanted: int = 1, confirmed: int = 0) -> None:
        self.wanted, self.confirmed = wanted, confirmed
        super().__init__(wanted, confirmed)

    def __str__(self) -> str:
        return (
            f"The job is enqueued, but {self.confirmed} of {self.wanted} replicas confirmed it in time: it "
            "will run unless a failover loses it. Publishing it again makes a second job, unless it has a "
            "unique_key."
        )


class LimitInvalid(QueueOpsError):
    """The limit has a value that is not allowed."""


class OrgRefused(QueueOpsError):
    """This org cannot be forgotten."""


class UnknownJob(QueueOpsError):
    """No job of this id is known: it is over, or it never was."""

    def __init__(self, task_id: str = "") -> None:
        self.task_id = task_id
        super().__init__(*((task_id,) if task_id else ()))

    def __str__(self) -> str:
        if not self.task_id:
            return super().__str__()
        return f"No job {self.task_id} is known: it is over and left no trace, or it never was."


class UnknownWorker(QueueOpsError):
    """No worker of this name is registered."""

    def __init__(self, name: str = "", known: Iterable[str] = ()) -> None:
        self.name, self.known = name, tuple(sorted(known))
        super().__init__(name, self.known)

    def __str__(self) -> str:
        known = ", ".join(self.known) or "none"
        return f"No worker {self.name!r} is registered. Registered workers: {known}."


class UnknownLetter(QueueOpsError):
    """No dead letter has this number; it may have been purged."""

    def __init__(self, letter: int = 0) -> None:
        self.letter = letter
        super().__init__(*((letter,) if letter else ()))

    def __str__(self) -> str:
        return f"No dead letter has the number {self.letter}; it may have been purged."


class UnknownSchedule(QueueOpsError):
    """No schedule has this name or number."""

    def __init__(self, name: object = "") -> None:
        self.name = name
        super().__init__(*((name,) if name else ()))

    def __str__(self) -> str:
        return f"No schedule is called {self.name!r}."


class ScheduleRefused(QueueOpsError):
    """The schedule has a value that is not allowed."""


class InvalidCursor(QueueOpsError, ValueError):
    """The cursor is not one that a page before has given."""


class LimitReached(QueueOpsError):
    """The limit is used up.

    Attributes:
        name: the resource or the key.
        gate: what is closed: rate, resource_rate, resource_concurrency, resource_breaker or pause.
        retry_after: seconds until it may open; a task that lets this error out is not retried before.
    """

    def __init__(self, name: str = "", gate: str = "", retry_after: float = 0.0) -> None:
        self.name, self.gate, self.retry_after = name, gate, retry_after
        super().__init__(name, gate, retry_after)

    def __str__(self) -> str:
        return f"{self.name} is closed by {self.gate} and may open in {self.retry_after:.1f} seconds."


class ReplayRefused(QueueOpsError):
    """The dead letter cannot be replayed."""


class RetentionRefused(QueueOpsError):
    """The rows are younger than the retention; they are purged only by force."""


class DrainRefused(QueueOpsError, ValueError):
    """Nothing was drained: it was not said how, or the time is over."""


class AddressRefused(QueueOpsError):
    """The URL's host is, or resolves to, an address that webhooks must not reach."""


class TooManyStreams(QueueOpsError):
    """This process serves as many streams of events as it may; ask again later.

    Attributes:
        retry_after: seconds after which one may be free.
    """

    def __init__(self, limit: int = 0, retry_after: float = 5.0) -> None:
        self.limit, self.retry_after = limit, retry_after
        super().__init__(limit, retry_after)

    def __str__(self) -> str:
        return (
            f"This process serves {self.limit} streams of events, as many as EVENT_STREAMS allows. "
            f"Ask again in {self.retry_after:g} seconds."
        )


class StaleLease(QueueOpsError):
    """The lease has ended; another worker may hold the job. The result was not recorded in the broker."""


class TokenRefused(QueueOpsError):
    """The API token was not made: its name or its end is not allowed."""
