"""Arguments of jobs that lie in Django's storage instead of in the broker: saved, read, removed.

Django is imported only when a payload is: a project without it can not offload, and nothing else needs it.
"""

from __future__ import annotations

import re
from collections import deque
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import uuid4

from celery.utils.log import get_logger
from kombu.utils.json import loads

from queueops.conf import config
from queueops.errors import ConfigurationError, InvalidMessage

__all__ = [
    "FOLDER",
    "ended",
    "folders_before",
    "load",
    "remove",
    "remove_ended",
    "save",
    "storage",
    "task_id_of",
]

logger = get_logger(__name__)

#: Where payloads lie in the storage; below it a folder for each hour, so that old ones are found by name.
FOLDER = "queueops/payloads"
_HOUR = "%Y-%m-%dT%H"
#: Task ids that a file may be named after.
_PLAIN_ID = re.compile(r"[A-Za-z0-9_.-]{1,150}\Z")

#: Payloads whose jobs have ended; a worker's chores remove them.
_ended: deque[str] = deque()


def storage() -> Any:
    """Return the storage that QUEUEOPS["OFFLOAD_STORAGE"] names.

    Raises:
        ConfigurationError: there is no Django here, or it has no storage of that name.
    """
    name = config().offload_storage
    try:
        from django.core.files.storage import storages

        return storages[name]
    except Exception as error:
        raise ConfigurationError(
            f'offload needs Django\'s storage {name!r} (STORAGES, QUEUEOPS["OFFLOAD_STORAGE"]): {error}'
        ) from error


def save(task_id: str, text: str) -> str:
    """Store the arguments of a job, as JSON; return the name under which they lie there.

    Raises:
        InvalidMessage: the task id can not name a file.
    """
    if not _PLAIN_ID.match(task_id):
        raise InvalidMessage(
            f'Arguments can be offloaded only for a task id of letters, digits and "_ . -", not {task_id!r}.'
        )
    target = storage()  # before Django's files are imported: says what is missing
    from django.core.files.base import ContentFile

    name = f"{FOLDER}/{datetime.now(UTC):{_HOUR}}/{task_id}~{uuid4().hex[:8]}.json"
    saved: str = target.save(name, ContentFile(text.encode()))
    return saved


def load(name: str) -> tuple[list[Any], dict[str, Any]]:
    """Return args and kwargs that :func:`save` has stored under ``name``.

    Raises:
        InvalidMessage: the name is none of ours; a message must not make a worker read other files.
    """
    if not _is_ours(name):
        raise InvalidMessage(f"{name!r:.100} names no offloaded arguments.")
    with storage().open(name, "rb") as file:
        args, kwargs = loads(file.read())
    return args, kwargs


def remove(name: str) -> bool:
    """Delete a payload; False when the storage did not: the sweep finds it later."""
    if not _is_ours(name):
        return False
    try:
        storage().delete(name)
    except Exception as error:
        logger.warning("The payload %s of an ended job is still there: %s", name, error)
        return False
    return True


def _is_ours(name: object) -> bool:
    return isinstance(name, str) and name.startswith(f"{FOLDER}/") and ".." not in name


def ended(name: str, word: str) -> None:
    """Note that the job of a payload has ended, by the broker's word on its settle.

    After another word than ``settled`` the lease was lost: another delivery, or a dead letter, has the job.
    """
    if word == "settled":
        _ended.append(name)


def remove_ended(seconds: float = 0.5) -> None:
    """Delete payloads of jobs that ended in this process, for so many seconds at most."""
    deadline = monotonic() + seconds
    while _ended and monotonic() < deadline:
        remove(_ended.popleft())


def task_id_of(name: str) -> str:
    """Return the task id that a file of :func:`save` belongs to, "" for another file."""
    task_id, mark, _ = name.rpartition("/")[2].rpartition("~")
    return task_id if mark else ""


def folders_before(at: datetime) -> list[str]:
    """Return the names of the folders whose payloads were all saved before ``at``, oldest first."""
    try:
        names, _ = storage().listdir(FOLDER)
    except FileNotFoundError:
        return []
    last = f"{at.astimezone(UTC) - timedelta(hours=1):{_HOUR}}"
    return [f"{FOLDER}/{name}" for name in sorted(names) if name < last]
