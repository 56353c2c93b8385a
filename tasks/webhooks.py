"""Webhooks: an org's events are delivered to its endpoints.

:func:`send` is the door for the rest of a project; :func:`deliver` is the job behind it. A delivery is made
at least once: a worker that dies between the receiver's answer and its record makes the next one send the
event again, with the same ``webhook-id``, by which the receiver knows it.
"""

from __future__ import annotations

import re
import time
import uuid
from importlib import import_module
from typing import Any

from celery import shared_task
from celery.signals import worker_init

from queueops import RetryPolicy
from tasks.conf import webhook_settings
from tasks.delivery import ATTEMPT_HEADER, EVENT_HEADER, encode, post, signature_headers
from tasks.failures import DeliveryFailed, EndpointUnusable, InvalidEvent, PermanentFailure
from tasks.models import Delivery, Endpoint
from tasks.records import Attempt, last_outcome, record
from tasks.resources import of_job
from tasks.signing import sign

#: Ids and types travel in HTTP headers, where a line break would begin another header.
_HEADER_SAFE = re.compile(r"[!-~]{1,128}")


def send(
    org: str,
    event_type: str,
    payload: Any,
    *,
    event_id: str | None = None,
    retry_policy: RetryPolicy | None = None,
) -> list[str]:
    """Enqueue one delivery of the event for each active endpoint of *org*.

    Inside a transaction call it by ``transaction.on_commit``: the workers must be able to see the endpoint.
    *event_id* is a UUID where none is given; the same id is delivered to an endpoint once. *retry_policy*
    stands in for the queue's.

    Returns the task ids, none where the org has no active endpoint. Raises InvalidEvent for a payload that
    is not JSON or a type or id that is not 1 to 128 visible ASCII characters; PayloadTooLarge and
    BrokerUnavailable by queueops.
    """
    event_id = event_id or str(uuid.uuid4())
    _check_names(event_id, event_type)
    body = encode(payload)
    task_ids = []
    policy = {} if retry_policy is None else {"retry_policy": retry_policy}
    for endpoint in Endpoint.objects.filter(org=org, active=True).order_by("pk"):
        job = deliver.apply_async(
            kwargs={
                "endpoint_id": endpoint.pk,
                "org": org,
                "event_id": event_id,
                "event_type": event_type,
                "payload": payload,
                "signature_headers": sign(endpoint.secret, event_id, body),
            },
            **policy,
        )
        task_ids.append(str(job.id))
    return task_ids


@worker_init.connect
def load_http(**_: Any) -> None:
    """Load what a worker sends with before it forks, so that no job waits for it."""
    import_module("tasks.connection")


@shared_task(
    bind=True,
    name="tasks.webhooks.deliver",
    queue="webhooks",
    org_from="org",
    resource=of_job,
    # Those speak about the request, so they do not count against the endpoint either.
    no_retry=(PermanentFailure,),
)
def deliver(
    self: Any,
    endpoint_id: int,
    org: str,
    event_id: str,
    event_type: str,
    payload: Any,
    signature_headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    """POST *payload* as JSON to the endpoint, signed; see :mod:`tasks.signing` for the headers.

    ``webhook-event`` carries the type and ``webhook-attempt`` the attempt, from 1. Precomputed
    *signature_headers* are reused while a receiver would take them. An event that the endpoint already took
    is not sent again.

    Returns ``{"status": HTTP status, "duration_ms": n}``, or ``{"status": None, "duration_ms": 0}`` where
    nothing was sent. Raises TemporaryFailure, retried by the queue's policy and not before its
    ``retry_after``, and PermanentFailure, which is not retried.
    """
    _check_names(event_id, event_type)
    endpoint = _endpoint(endpoint_id, org)
    before = last_outcome(endpoint, event_id)
    if before == Delivery.Outcome.DELIVERED:
        return {"status": None, "duration_ms": 0}
    started = time.monotonic()
    try:
        answer = _send_now(
            endpoint, event_id, event_type, payload, signature_headers, self.request.retries + 1
        )
    except DeliveryFailed as failure:
        refused = isinstance(failure, PermanentFailure)
        attempt = Attempt(
            outcome=Delivery.Outcome.REFUSED if refused else Delivery.Outcome.FAILED,
            duration_ms=_milliseconds_since(started),
            status=failure.status,
            excerpt=failure.excerpt,
            error=f"{type(failure).__name__}: {failure}",
        )
        record(endpoint, event_id, event_type, attempt, first=before is None)
        raise
    duration_ms = _milliseconds_since(started)
    attempt = Attempt(Delivery.Outcome.DELIVERED, duration_ms, answer.status, answer.excerpt)
    record(endpoint, event_id, event_type, attempt, first=before is None)
    return {"status": answer.status, "duration_ms": duration_ms}


def _endpoint(endpoint_id: int, org: str) -> Endpoint:
    endpoint = Endpoint.objects.filter(pk=endpoint_id).first()
    if endpoint is None:
        raise EndpointUnusable(f"Endpoint {endpoint_id} does not exist any more.")
    if endpoint.org != org:
        # An edited replay could otherwise send one org's event to another's receiver.
        raise EndpointUnusable(f"Endpoint {endpoint_id} does not belong to {org}.")
    if not endpoint.active:
        raise EndpointUnusable(f"Endpoint {endpoint_id} is switched off; switch it on, then replay.")
    return endpoint


def _send_now(
    endpoint: Endpoint,
    event_id: str,
    event_type: str,
    payload: Any,
    precomputed: dict[str, str] | None,
    attempt: int,
) -> Any:
    limits = webhook_settings()
    body = encode(payload)
    signed = signature_headers(endpoint.secret, event_id, body, precomputed, max_age=limits.signature_max_age)
    headers = {**signed, EVENT_HEADER: event_type, ATTEMPT_HEADER: str(attempt)}
    return post(endpoint.url, body, headers, allow_private=endpoint.may_be_private, limits=limits)


def _check_names(event_id: str, event_type: str) -> None:
    for name, value in (("id", event_id), ("type", event_type)):
        if not isinstance(value, str) or not _HEADER_SAFE.fullmatch(value):
            raise InvalidEvent(f"An event's {name} is 1 to 128 visible ASCII characters, not {value!r:.80}.")


def _milliseconds_since(started: float) -> int:
    return round((time.monotonic() - started) * 1_000)
