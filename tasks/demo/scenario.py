"""The story: deliver everything; a breaker holds the jobs of one endpoint, and another one's die.

Both are mended: what was held goes on by itself, what died is replayed. It uses the broker, the database and
the workers that the settings name, and only the doors that everybody has: ``webhooks.send``, the rows of dead
letters, and the verbs that admin calls.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Sequence

from django.db import transaction

from queueops import RetryPolicy
from queueops.engine.rules.states import LetterStatus
from queueops.models import DeadLetter
from queueops.models.querysets import DeadLetterQuerySet
from queueops.ops import broker, dead_letters, resources
from queueops.ops.permissions import Actor
from tasks import webhooks
from tasks.demo.breaker import BROKEN, FLAKY, Watch
from tasks.demo.events import largest_small_org, load_events, second_largest_org
from tasks.demo.receiver import TAKEN, Receiver
from tasks.demo.story import Story
from tasks.models import Delivery, Endpoint
from tasks.resources import of_endpoint

QUEUE = "webhooks"
#: Short waits, so that an endpoint's retries and their end fit into the demonstration.
POLICY = RetryPolicy(base_seconds=0.5, cap_seconds=30, attempts=3)
_ACTOR = Actor.shell("webhooks_demo")
#: Seconds without progress after which the story ends: a worker that is still starting, a busy machine.
_PATIENCE = 30.0
_POLL_SECONDS = 0.05

Say = Callable[[str], None]


class NotInTime(Exception):
    """Something that had to happen did not happen in the time it has."""


class EndpointsExist(Exception):
    """An org of the demonstration has endpoints already; real events must not be mixed with these."""


def tell(say: Say) -> Story:
    """Play the story on the stack of the settings; *say* prints what goes on.

    What does not happen in time ends the story, which then says so.

    Raises EndpointsExist before anything is sent, and queueops' own errors where the broker is away.
    """
    events = load_events(f"demo-{uuid.uuid4().hex[:8]}")
    orgs = largest_small_org(events), second_largest_org(events)
    story = Story(events, *orgs, policy=POLICY)
    # Longer than the policy's own first wait, or it would show nothing; whole seconds, as HTTP has them.
    with Receiver(retry_after=math.floor(story.policy.delay(1)) + 1) as receiver:
        endpoints = _make_endpoints(story, receiver)
        try:
            with Watch(_limit(story, endpoints)) as watch:
                try:
                    _play(story, receiver, watch, say)
                except NotInTime as late:
                    story.late = str(late)
            story.breaker = watch.changes
            story.deliveries = list(Delivery.objects.filter(endpoint__in=endpoints))
        finally:
            story.arrivals = receiver.arrivals()
            for endpoint in endpoints:
                resources.reset_limit(_ACTOR, of_endpoint(endpoint.pk))
            Endpoint.objects.filter(pk__in=[endpoint.pk for endpoint in endpoints]).delete()
    return story


def _play(story: Story, receiver: Receiver, watch: Watch, say: Say) -> None:
    _until_gone(lambda: int(not _workers()), f"worker that has to serve the queue {QUEUE}")
    receiver.break_down(story.broken)
    receiver.break_down(story.flaky)
    _send(story, say)
    healthy = {event.id for event in story.events if event.org not in (story.broken, story.flaky)}
    _until_gone(lambda: len(healthy - _taken(receiver)), "events on their way to healthy endpoints")
    say(f"{len(healthy)} events arrived at the healthy endpoints.")
    _let_breaker_close(story, receiver, watch, say)

    ill = [event for event in story.events if event.org == story.broken]
    waits = [max(story.policy.delay(n), receiver.retry_after) for n in range(1, story.policy.attempts)]
    _until_gone(lambda: len(ill) - _letters(story).count(), "deliveries that have to die", pause=sum(waits))
    story.letters = list(_letters(story))
    say(f"{len(story.letters)} deliveries to {story.broken} died; they lie in the dead letters.")

    story.mended_at = time.monotonic()
    receiver.mend(story.broken)
    done = dead_letters.replay_matching(
        _ACTOR,
        _letters(story).parked(),
        {"org": story.broken, "task": webhooks.deliver.name},
    )
    story.replayed = done.count
    say(f"The endpoint is mended; {done.count} dead letters are replayed.")
    _until_gone(lambda: len({event.id for event in ill} - _taken(receiver)), "replayed events on their way")
    _until_gone(lambda: sum(_left().values()), "jobs in the broker")
    story.left = _left()
    story.replayed_ids = set(
        _letters(story).filter(status=LetterStatus.REPLAYED).values_list("pk", flat=True)
    )


def _let_breaker_close(story: Story, receiver: Receiver, watch: Watch, say: Say) -> None:
    pause = 2 * float(FLAKY["longest_open_seconds"])
    _until_gone(lambda: 2 - min(watch.openings, 2), "openings of a breaker", pause=pause)
    held = [event for event in story.events if event.org == story.flaky]
    tried = sum(arrival.org == story.flaky for arrival in receiver.arrivals())
    say(f"The breaker of {story.flaky} opened {watch.openings} times: {tried} attempts, {len(held)} events.")
    story.flaky_mended_at = time.monotonic()
    receiver.mend(story.flaky)
    wanted = {event.id for event in held}
    _until_gone(lambda: len(wanted - _taken(receiver)), "events that a breaker has held", pause=pause)
    _until_gone(lambda: int(watch.state != "closed"), "breaker that has to close", pause=pause)
    say(f"The endpoint of {story.flaky} is mended; its breaker closed, and all {len(held)} arrived.")


def _limit(story: Story, endpoints: Sequence[Endpoint]) -> str:
    """Give the resources of the two ill endpoints their limits; returns the flaky one's name."""
    names = {endpoint.org: of_endpoint(endpoint.pk) for endpoint in endpoints}
    resources.set_limit(_ACTOR, names[story.broken], BROKEN, note="made by webhooks_demo")
    resources.set_limit(_ACTOR, names[story.flaky], FLAKY, note="made by webhooks_demo")
    return names[story.flaky]


def _make_endpoints(story: Story, receiver: Receiver) -> list[Endpoint]:
    orgs = sorted({event.org for event in story.events})
    endpoints = []
    # One transaction, so that a refusal leaves nothing behind.
    with transaction.atomic():
        taken = Endpoint.objects.filter(org__in=orgs).values_list("org", flat=True).distinct()
        if taken:
            raise EndpointsExist(f"These orgs have endpoints already: {', '.join(taken)}.")
        for org in orgs:
            endpoint = Endpoint(org=org, description="made by webhooks_demo", allow_private=True)
            endpoint.url = receiver.serve(org, endpoint.secret)
            endpoint.full_clean()
            endpoint.save()
            endpoints.append(endpoint)
    return endpoints


def _send(story: Story, say: Say) -> None:
    started = time.monotonic()
    for event in story.events:
        story.sent_at[event.id] = time.monotonic()
        (task_id,) = webhooks.send(
            event.org, event.type, event.payload, event_id=event.id, retry_policy=POLICY
        )
        story.task_ids[event.id] = task_id
    orgs = len({event.org for event in story.events})
    say(f"{len(story.events)} events of {orgs} orgs sent in {time.monotonic() - started:.1f} s.")
    say(f"The endpoints of {story.broken} and {story.flaky} answer 503.")


def _taken(receiver: Receiver) -> set[str]:
    return {arrival.event_id for arrival in receiver.arrivals() if arrival.status == TAKEN}


def _letters(story: Story) -> DeadLetterQuerySet:
    letters: DeadLetterQuerySet = DeadLetter.objects.filter(
        task=webhooks.deliver.name, task_id__in=list(story.task_ids.values())
    )
    return letters


def _workers() -> list[str]:
    with broker.store() as store:
        return [worker.hostname for worker in store.workers() if QUEUE in worker.queues]


def _left() -> dict[str, int]:
    """What the broker still holds of the queue, by state; empty numbers mean that every job has ended."""
    with broker.store() as store:
        seen = store.queue_snapshot(QUEUE)
        return {
            "ready": seen.ready,
            "scheduled": seen.scheduled,
            "leased": seen.leased,
            "dead, without a row": store.dead_size(),
        }


def _until_gone(count: Callable[[], int], what: str, *, pause: float = 0.0) -> None:
    """Wait until *count* is 0. It may stand still for *pause* seconds by design, and a while longer."""
    patience = _PATIENCE + pause
    left, since = count(), time.monotonic()
    while left > 0:
        if time.monotonic() - since > patience:
            raise NotInTime(f"{left} {what}, and no progress for {patience:.0f} s.")
        time.sleep(_POLL_SECONDS)
        before, left = left, count()
        if left != before:
            since = time.monotonic()
