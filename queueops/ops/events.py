"""The verbs of what happens: follow it, wait for one job's end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from time import monotonic

from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied

from queueops.conf import config
from queueops.engine.rules.states import ENDED
from queueops.errors import BrokerUnavailable, TooManyStreams, UnknownJob, UnknownQueue
from queueops.ops import broker, jobs, permissions
from queueops.ops.connections import released
from queueops.ops.event_reader import reader
from queueops.ops.job_info import JobInfo
from queueops.ops.listening import Event, Listener, notice
from queueops.ops.permissions import Actor
from queueops.ops.plain import plain

__all__ = ["Event", "Stream", "follow", "opened", "wait_for"]

#: Seconds after which a job that is waited for is looked at again, though nothing was told of it.
LOOK_AGAIN_SECONDS = 10.0
#: Kinds of events after which a follower of one job is told anew what is known of it.
_ANEW = frozenset({"open", "gap", "back"})
_OVER = frozenset(state.value for state in ENDED)


class Stream:
    """Events for one follower, until `close`. Made by `opened`."""

    def __init__(self, actor: Actor, listener: Listener) -> None:
        self._actor, self._listener = actor, listener
        self._look = False

    @property
    def is_over(self) -> bool:
        """Whether nothing comes any more: too much waited to be read."""
        return self._listener.closed and not self._listener.is_waiting

    async def next(self, seconds: float) -> Event | None:
        """The next event; None when there is none for so long."""
        if self._look:
            return await sync_to_async(self._job)()
        return self._noted(await self._listener.next(seconds))

    def wait(self, seconds: float) -> Event | None:
        """As `next`, for code that may stand still."""
        return self._job() if self._look else self._noted(self._listener.wait(seconds))

    def close(self) -> None:
        """Make room for another stream."""
        reader.leave(self._listener)

    def _noted(self, event: Event | None) -> Event | None:
        if event is not None and event.kind in _ANEW and self._listener.task_id:
            self._look = True
        return event

    def _job(self) -> Event:
        self._look = False
        task_id = self._listener.task_id
        try:
            with released():
                found = jobs.info(self._actor, task_id)
        except UnknownJob:
            return notice("snapshot", task_id=task_id, state="unknown")
        except BrokerUnavailable as error:
            return notice("away", why=str(error))
        at = notice("snapshot").at
        return Event("", "snapshot", at, task_id, found.task, found.queue, found.org, plain(found))


def opened(
    actor: Actor,
    *,
    queue: str = "",
    org: str = "",
    task_id: str = "",
    last_id: str = "",
    only: str = "",
    limit: int = 0,
) -> Stream:
    """Begin to follow; the caller closes the stream.

    Who may see jobs is told of jobs, who may see operations how the queues do, every two seconds. With a
    `task_id` the stream tells of that job alone, and first what is known of it.

    Args:
        queue, org, task_id: exact names; "" is any.
        last_id: id of the last event that the follower knows, to go on there; "" begins now.
        only: "jobs" or "snapshots"; "" is both.
        limit: events that may wait to be read; 0 is about as many as the broker keeps.

    Raises:
        PermissionDenied: the actor may see neither jobs nor operations; or not jobs, and asks for one.
        UnknownQueue: neither the settings nor the broker know the queue.
        TooManyStreams: this process has as many as EVENT_STREAMS allows.
    """
    sees_jobs = actor.may(permissions.VIEW_JOBS)
    if task_id:
        actor.require(permissions.VIEW_JOBS)
    elif not (sees_jobs or actor.may(permissions.VIEW_OPERATIONS)):
        raise PermissionDenied(
            f"{actor.name} needs the permission {permissions.VIEW_JOBS} or {permissions.VIEW_OPERATIONS}."
        )
    _check_queue(queue)
    most = config().event_streams
    if reader.count() >= most:
        raise TooManyStreams(most)
    listener = Listener(
        queue=queue,
        org=org,
        task_id=task_id,
        jobs=sees_jobs and only != "snapshots",
        snapshots=only != "jobs" and actor.may(permissions.VIEW_OPERATIONS),
        last_id=last_id,
        **({"limit": limit} if limit else {}),
    )
    reader.join(listener)
    return Stream(actor, listener)


def _check_queue(queue: str) -> None:
    if not queue or queue in config().queues:
        return
    with suppress(BrokerUnavailable), broker.store() as store:
        known = {*config().queues, *store.queues()}
        if queue not in known:
            raise UnknownQueue(queue, known)


async def follow(
    actor: Actor,
    *,
    queue: str = "",
    org: str = "",
    task_id: str = "",
    last_id: str = "",
    timeout: float | None = None,
) -> AsyncIterator[Event]:
    """Yield what happens, as `opened` says it, until the caller stops or falls too far behind.

    Args:
        timeout: seconds after which it ends; None is never.

    Raises:
        what `opened` raises.
    """
    stream = await sync_to_async(opened)(actor, queue=queue, org=org, task_id=task_id, last_id=last_id)
    ends = None if timeout is None else monotonic() + timeout
    try:
        while not stream.is_over:
            left = LOOK_AGAIN_SECONDS if ends is None else ends - monotonic()
            if left <= 0:
                return
            if (event := await stream.next(left)) is not None:
                yield event
    finally:
        stream.close()


def wait_for(actor: Actor, task_id: str, timeout: float) -> JobInfo:
    """Wait until a job is over, and return what is known of it; also if it was over before.

    Without a result backend little is known of a job that has succeeded: the broker forgets it.

    Args:
        timeout: seconds to wait; then what is known of the job, which is not over.

    Raises:
        PermissionDenied: the actor may not see jobs.
        UnknownJob: neither the broker nor the database knows the id.
        BrokerUnavailable: the broker does not answer, and did not come back in time.
    """
    ends = monotonic() + timeout
    stream = opened(actor, task_id=task_id)
    try:
        info: JobInfo | None = None
        while True:
            event = stream.wait(max(0.0, min(LOOK_AGAIN_SECONDS, ends - monotonic())))
            if event is not None and event.kind in _OVER:
                return _after(actor, task_id, event, info)
            if event is None or event.kind in _ANEW:
                with suppress(BrokerUnavailable):
                    info = _known(actor, task_id, info)
                    if info.state in _OVER:
                        return info
            if monotonic() >= ends:
                return info or _known(actor, task_id, None)
    finally:
        stream.close()


def _known(actor: Actor, task_id: str, before: JobInfo | None) -> JobInfo:
    try:
        return jobs.info(actor, task_id)
    except UnknownJob:
        with broker.store() as store:
            outcome = store.outcome(task_id)
        if outcome is None and before is None:
            raise
        if outcome is None:  # a retry is being published, or a letter is on its way to the database
            return before  # type: ignore[return-value]
        return replace(before or JobInfo("broker", task_id, outcome), state=outcome, due_at=None)


def _after(actor: Actor, task_id: str, event: Event, before: JobInfo | None) -> JobInfo:
    try:
        found = jobs.info(actor, task_id)
    except UnknownJob:
        found = None
    if found is not None and found.state in _OVER:
        return found
    known = before or JobInfo("broker", task_id, event.kind, event.task, event.queue, event.org)
    return replace(known, state=event.kind, due_at=None, ended_at=event.at)
