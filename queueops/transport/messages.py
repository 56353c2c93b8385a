"""From a kombu message to a job, and from a leased job back to the message that Celery sees."""

from __future__ import annotations

import math
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from kombu.utils.json import dumps, loads

from queueops.engine.rules.envelope import NewJob
from queueops.engine.rules.priority import patience_ms
from queueops.engine.types import Leased
from queueops.errors import InvalidMessage, InvalidOrg, InvalidResource, PayloadTooLarge

#: The header in which the publishing side says what the broker should know.
HEADER = "queueops"
#: Org of a message whose publisher knows no orgs.
DEFAULT_ORG = "default"
NAME = re.compile(r"[A-Za-z0-9._@-]{1,128}\Z")
#: Keys of our header that few jobs have: what they wait for, what they are alone with, what is remembered.
LINKS = frozenset({"after", "unique", "keep"})

#: Properties by which a retry tells the transport what it ends; they do not travel.
_STEERING = frozenset({"queueops_supersedes", "queueops_failed"})

_tag_lock = threading.Lock()
_tag_last = 0


def new_tag() -> str:
    """Return a UUIDv7 as text: later tags sort later, also within a millisecond (RFC 9562, section 6.2,
    method 1).
    """
    global _tag_last
    with _tag_lock:
        # 48 bits of milliseconds, then a 12-bit counter that overflows into the next millisecond.
        _tag_last = max(_tag_last + 1, (time.time_ns() // 1_000_000) << 12)
        stamp = _tag_last
    high = (stamp >> 12) << 16 | 0x7000 | stamp & 0xFFF
    low = 0x8000 << 48 | int.from_bytes(os.urandom(8), "big") & 0x3FFF_FFFF_FFFF_FFFF
    text = f"{high:016x}{low:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_tags(count: int) -> list[str]:
    """Return ``count`` tags in their order, each for a quarter of what :func:`new_tag` costs."""
    global _tag_last
    with _tag_lock:
        first = max(_tag_last + 1, (time.time_ns() // 1_000_000) << 12)
        _tag_last = first + count - 1
    tail, tags = os.urandom(8 * count).hex(), []
    for number in range(count):
        stamp, at = first + number, 16 * number
        high = f"{(stamp >> 12) << 16 | 0x7000 | stamp & 0xFFF:016x}"
        variant = "89ab"[int(tail[at], 16) & 3]
        tags.append(
            f"{high[:8]}-{high[8:12]}-{high[12:]}-{variant}{tail[at + 1 : at + 4]}-{tail[at + 4 : at + 16]}"
        )
    return tags


os.register_at_fork(after_in_child=lambda: globals().__setitem__("_tag_lock", threading.Lock()))


def eta_ms(text: str | None) -> int:
    """Return the header ``eta`` (ISO 8601; naive means UTC) in ms since the epoch, 0 for none."""
    if not text:
        return 0
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise InvalidMessage(f"eta must be an ISO 8601 time, got {text!r}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def check_timelimit(value: Any) -> tuple[float, float]:
    """Return the header ``timelimit`` as (hard, soft) in seconds, 0 for none.

    Celery hands it to the pool as it is: what is not a number there would end the worker. Raises
    :class:`InvalidMessage`.
    """
    if value is None:
        return 0.0, 0.0
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(_is_limit, value)):
        raise InvalidMessage(f"timelimit must be two numbers of seconds or null, got {value!r:.100}")
    return value[0] or 0.0, value[1] or 0.0


def _is_limit(value: Any) -> bool:
    if value is None:
        return True
    return not isinstance(value, bool) and isinstance(value, int | float) and 0 <= value < math.inf


def links(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a job that say what it has to do with other jobs; most have none.

    Raises :class:`InvalidMessage` for a header that our publish path has not written.
    """
    if LINKS.isdisjoint(header):
        return {}
    after, unique = header.get("after") or (), header.get("unique") or ""
    try:
        if not (isinstance(unique, str) and isinstance(after, list | tuple) and all(map(_is_id, after))):
            raise ValueError("after is a list of task ids, unique a text")
        return {
            "after": tuple(after),
            "cancel_with_parent": bool(header.get("cancel_with_parent")),
            "keep_ms": int(header.get("keep") or 0),
            "unique": unique,
            "unique_ms": int(header.get("unique_for") or 0),
        }
    except (TypeError, ValueError) as error:
        raise InvalidMessage(f"The queueops header is refused: {error}.") from error


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def with_end_of_attempt(job: NewJob, attempts: Any) -> NewJob:
    """Return the retry ``job`` with how the attempt before it ended, the last of ``attempts``."""
    last = attempts[-1] if isinstance(attempts, list) and attempts else None
    if not isinstance(last, dict):
        return job
    run_ms = last.get("run_ms")
    return replace(
        job,
        run_ms=run_ms if isinstance(run_ms, int | float) and run_ms >= 0 else None,
        error=str(last.get("error") or ""),
        error_message=str(last.get("message") or ""),
    )


def to_job(message: dict[str, Any], *, limit: int, repeated: bool = False) -> NewJob:
    """Return the job for a kombu message.

    ``limit``: size of the message in bytes above which :class:`PayloadTooLarge` is raised; a retry is
    never refused.
    ``repeated``: this is a second try to publish the same message. Raises :class:`PublishError` subclasses.
    """
    headers, properties = message["headers"], message["properties"]
    meta = headers.get(HEADER) or {}
    supersedes, failed = properties.get("queueops_supersedes", ""), bool(properties.get("queueops_failed"))
    if supersedes:
        # In a copy: a publish that kombu tries again comes with the same properties.
        properties = {key: value for key, value in properties.items() if key not in _STEERING}
        message = {**message, "properties": properties}
    org, resource = meta.get("org", DEFAULT_ORG), meta.get("resource", "")
    if not (isinstance(org, str) and NAME.match(org)):
        raise InvalidOrg(org)
    if resource and not (isinstance(resource, str) and NAME.match(resource)):
        raise InvalidResource(resource)
    text = dumps(message)
    size = len(text) if text.isascii() else len(text.encode())
    if size > limit and not supersedes:
        raise PayloadTooLarge(size, limit)
    hard, soft = check_timelimit(headers.get("timelimit"))
    tag = properties["delivery_tag"]
    job = NewJob(
        tag=tag,
        task_id=str(headers.get("id") or tag),
        task=str(headers.get("task") or ""),
        org=org,
        message=text,
        resource=resource,
        # A queue that ages its jobs in its own way has said so at the publish.
        patience_ms=int(meta["patience"])
        if "patience" in meta
        else patience_ms(meta.get("priority", properties.get("priority", 5))),
        deadline_ms=int(meta.get("deadline") or 0),
        due_ms=eta_ms(headers.get("eta")),
        once=bool(meta.get("once")),
        expires_late=meta.get("late") == "expire",
        run_limit_ms=int((hard or soft) * 1000),
        first_ms=int(meta.get("first") or time.time() * 1000),
        attempt=int(headers.get("retries") or 0),
        repeated=repeated,
        supersedes=supersedes,
        counts_as_failure=failed,
        replicas=int(meta.get("durable") or 0),
        # Another attempt keeps in the broker what the first one got.
        **({} if supersedes or headers.get("retries") else links(meta)),
    )
    return with_end_of_attempt(job, meta.get("attempts")) if supersedes else job


def to_message(job: Leased) -> dict[str, Any]:
    """Return the message as kombu delivers it; raises ``ValueError`` when it can not be one.

    The delivery tag becomes the lease token, and the ETA, which has passed, moves out of Celery's sight: a
    worker that saw it would hold the job in memory once more.
    """
    message = loads(job.message)
    if (
        not isinstance(message, dict)
        or not isinstance(message.get("properties"), dict)
        or "body" not in message
    ):
        raise ValueError("not a kombu message")
    properties = message["properties"]
    properties["delivery_tag"] = job.token
    info = properties.get("delivery_info")
    if not isinstance(info, dict):
        info = properties["delivery_info"] = {"exchange": "", "routing_key": job.queue}
    info.update(
        token=job.token,
        queue=job.queue,
        org=job.org,
        deliveries=job.deliveries,
        claimed_ms=job.claimed_ms,
        redelivered=job.deliveries > 1,
    )
    headers = message.setdefault("headers", {})
    if isinstance(headers, dict) and headers.get("eta"):
        properties["queueops_eta"], headers["eta"] = headers["eta"], None
    return message


def broken_message(job: Leased) -> dict[str, Any]:
    """Return a message that says nothing but which job could not be read, so that the consumer can bury
    it.
    """
    return {
        "body": job.message,
        "content-type": "application/x-queueops-undecodable",
        "content-encoding": "utf-8",
        "headers": {},
        "properties": {
            "delivery_tag": job.token,
            "delivery_info": {
                "exchange": "",
                "routing_key": job.queue,
                "token": job.token,
                "queue": job.queue,
                "org": job.org,
                "deliveries": job.deliveries,
                "claimed_ms": job.claimed_ms,
            },
        },
    }
