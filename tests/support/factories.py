"""Jobs and messages as the publish path makes them, for tests that talk to the engine directly."""

from __future__ import annotations

import json
import uuid
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from queueops.engine.rules.envelope import NewJob


def new_message(
    task: str,
    args: Sequence[object] = (),
    kwargs: Mapping[str, object] | None = None,
    *,
    task_id: str = "",
    org: str = "default",
    queue: str = "standard",
    tag: str = "",
    headers: Mapping[str, object] | None = None,
) -> str:
    """Return Celery's message (protocol 2) as kombu stores it; ``headers`` are added to the task's own."""
    task_id = task_id or str(uuid.uuid4())
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    body = json.dumps([list(args), dict(kwargs or {}), embed]).encode()
    return json.dumps(
        {
            "body": b64encode(body).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {
                "lang": "py",
                "task": task,
                "id": task_id,
                "root_id": task_id,
                "parent_id": None,
                "group": None,
                "retries": 0,
                "timelimit": [None, None],
                "ignore_result": True,
                "queueops": {"org": org, "resource": "", "priority": 5},
                **(headers or {}),
            },
            "properties": {
                "correlation_id": task_id,
                "reply_to": "",
                "delivery_mode": 2,
                "priority": 5,
                "body_encoding": "base64",
                "delivery_tag": tag or task_id,
                "delivery_info": {"exchange": "", "routing_key": queue},
            },
        }
    )


def new_job(
    task: str = "ledger.run",
    args: Sequence[object] = ("job",),
    *,
    org: str = "default",
    queue: str = "standard",
    **fields: Any,
) -> NewJob:
    """Return a job for ``Store.enqueue``, its message included; ``fields`` are those of NewJob."""
    task_id = fields.pop("task_id", "") or str(uuid.uuid4())
    tag = fields.pop("tag", "") or task_id
    message = fields.pop("message", "") or new_message(
        task, args, task_id=task_id, org=org, queue=queue, tag=tag
    )
    return NewJob(tag=tag, task_id=task_id, task=task, org=org, message=message, **fields)
