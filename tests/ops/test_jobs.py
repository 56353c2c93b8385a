"""What an operator sees and does of single jobs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery
from django.contrib.auth.models import Permission, User
from django.core.exceptions import PermissionDenied

from queueops.engine.rules.gates import Limits
from queueops.engine.store import Store
from queueops.engine.types import Settlement
from queueops.errors import UnknownJob, UnknownQueue
from queueops.models import AuditEntry, DeadLetter
from queueops.ops import broker, collector, dead_letters, jobs, leases, permissions, queues
from queueops.ops.masking import MASK
from queueops.ops.permissions import Actor
from tests.support import letters

ACTOR = Actor.shell("maria")


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


def person(*codenames: str) -> Actor:
    user = User.objects.create_user("carl")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return Actor.of(User.objects.get(pk=user.pk), AuditEntry.Surface.API)


def register(store: Store, slots: int = 8) -> None:
    info = {
        "hostname": "h",
        "pid": 1,
        "queues": ["standard"],
        "slots": slots,
        "version": "1",
        "started_ms": 1,
    }
    store.renew("h:1:x", {}, answered=0, registration=info)


# info


def test_a_waiting_job_is_told_from_the_broker(app: Celery, store: Store) -> None:
    job = letters.publish(
        app, 17, kwargs={"api_key": "s3cret", "n": 1}, org="acme", priority="LOW", deadline=60
    )
    found = jobs.info(ACTOR, job)
    assert (found.source, found.state, found.queue, found.org) == ("broker", "ready", "standard", "acme")
    assert (found.task, found.priority, found.attempt, found.max_attempts) == ("shop.deliver", 8, 1, 3)
    assert (found.args, found.kwargs) == ([17], {"api_key": MASK, "n": 1})
    assert found.run_limit_seconds == 300
    now = datetime.now(UTC)
    assert found.created_at is not None and abs(found.created_at - now) < timedelta(seconds=5)
    assert found.deadline_at is not None and timedelta(50) > found.deadline_at - now > timedelta(seconds=50)
    assert (found.worker, found.claimed_at, found.errors) == ("", None, ())


def test_a_running_job_is_told_with_its_worker(app: Celery, store: Store) -> None:
    job = letters.publish(app, org="acme")
    leased = letters.claim(store)
    found = jobs.info(ACTOR, job)
    assert (found.state, found.worker, found.deliveries) == ("leased", leased.token.split("/")[0], 1)
    assert found.claimed_at is not None and found.last_heartbeat_at is not None
    assert abs(found.last_heartbeat_at - found.claimed_at) < timedelta(seconds=1)


def test_a_dead_job_is_told_from_its_letter(app: Celery, store: Store) -> None:
    job = letters.publish(app, 1, kwargs={"password": "x"}, org="acme")
    letters.die(store, message="token=abc refused")
    collector.collect_all(store)
    found = jobs.info(ACTOR, job)
    assert (found.source, found.state, found.attempt) == ("dead letter", "dead", 3)
    assert (found.args, found.kwargs) == ([1], {"password": MASK})
    assert [error["n"] for error in found.errors] == [1, 2, 3]
    assert "abc" not in found.errors[-1]["message"]


def test_a_dead_job_tells_how_it_was_to_run(app: Celery, store: Store) -> None:
    job = letters.publish(app, org="acme", priority="LOW", time_limit=40)
    letters.die(store)
    collector.collect_all(store)
    found = jobs.info(ACTOR, job)
    assert (found.priority, found.run_limit_seconds, found.worker != "") == (8, 40, True)
    assert found.run_seconds is not None and found.claimed_at is not None and found.ended_at is not None
    assert found.ended_at - found.claimed_at == timedelta(seconds=found.run_seconds)


def test_a_job_that_is_over_is_told_from_the_history(app: Celery, store: Store) -> None:
    job = letters.publish(app, org="acme", resource="mail")
    letters.publish(app, org="beta")
    for leased in (letters.claim(store), letters.claim(store)):
        if leased.task_id == job:
            store.settle([Settlement(leased.token, "succeeded", 250)])
    found = jobs.info(ACTOR, job)
    assert (found.source, found.state, found.task) == ("history", "succeeded", "shop.deliver")
    assert (found.queue, found.org, found.resource, found.attempt) == ("standard", "acme", "mail", 1)
    assert (found.run_seconds, found.queue_seconds is not None, found.errors) == (0.25, True, ())
    assert found.ended_at is not None and found.claimed_at is not None and found.claimed_at <= found.ended_at


def test_a_result_is_completed_by_the_history(app: Celery, store: Store) -> None:
    from django_celery_results.models import TaskResult

    kept = {"meta": '{"org": "acme", "queue": "standard"}', "status": "SUCCESS", "result": '"paid"'}
    old = TaskResult.objects.create(task_id="long-over", task_name="shop.deliver", **kept)
    found = jobs.info(ACTOR, old.task_id)
    assert (found.source, found.queue, found.org, found.run_seconds) == ("result", "standard", "acme", None)
    job = letters.publish(app, org="acme")
    store.settle([Settlement(letters.claim(store).token, "succeeded", 1_500)])
    TaskResult.objects.create(task_id=job, task_name="shop.deliver", **kept)
    found = jobs.info(ACTOR, job)
    assert (found.source, found.state, found.result) == ("result", "succeeded", '"paid"')
    assert (found.deliveries, found.run_seconds) == (1, 1.5)


def test_payloads_are_for_those_who_may_see_them(app: Celery, store: Store) -> None:
    job = letters.publish(app, 17, org="acme")
    carl = person("view_jobs")
    found = jobs.info(carl, job)
    assert (found.args, found.kwargs, found.org) == (None, None, "acme")
    carl.user.user_permissions.add(Permission.objects.get(codename="view_payload"))  # type: ignore[union-attr]
    again = Actor.of(User.objects.get(username="carl"), AuditEntry.Surface.API)
    assert jobs.info(again, job).args == [17]


def test_an_id_that_nobody_knows(app: Celery) -> None:
    with pytest.raises(UnknownJob, match="No job 4711 is known"):
        jobs.info(ACTOR, "4711")
    with pytest.raises(UnknownJob):
        jobs.explain(ACTOR, "4711")


# explain


def test_a_job_that_waits_for_its_turn(app: Celery, store: Store) -> None:
    register(store)
    for number in range(4):
        last = letters.publish(app, number, org="acme")
    letters.publish(app, org="beta")
    told = jobs.explain(ACTOR, last)
    assert told.why == "It is ready and waits for its turn."
    assert (told.place, told.lane_size, told.ring_place, told.ring_size) == (3, 4, 0, 2)
    assert (told.priority, told.effective_priority, len(told.workers)) == (5, 5, 1)
    assert "Place 4 of 4 in the lane of acme." in told.lines
    assert "1 worker with 8 slots serves standard." in told.lines
    assert told.lines[-1].startswith("Start: about 0.")
    assert "3 jobs before it in its lane, its org gets 1/2 of 8 slots" in told.estimate.basis


def test_a_throttled_job_names_its_gate_and_when_it_opens(app: Celery, store: Store) -> None:
    register(store)
    store.set_limits("standard", {"acme": Limits(rpm=6)})
    job = [letters.publish(app, number, org="acme") for number in range(3)][-1]
    letters.claim(store)
    told = jobs.explain(ACTOR, job)
    assert told.why.startswith("It is ready, and a gate is closed: org_rate of its org: the org has started")
    [rate] = [gate for gate in told.gates if gate.name == "org_rate"]
    assert rate.closed and 5000 < rate.until_ms - told.snapshot.now_ms <= 10_000
    assert told.estimate.seconds == pytest.approx(20, abs=5)
    assert "its org starts 6 a minute" in told.estimate.basis


def test_a_paused_queue_and_a_queue_without_workers(app: Celery, store: Store) -> None:
    job = letters.publish(app, org="acme")
    assert jobs.explain(ACTOR, job).why == "It is ready, and no worker serves its queue."
    store.pause("standard", by="carl", reason="maintenance")
    told = jobs.explain(ACTOR, job)
    assert "pause of its queue: paused by carl (maintenance); until somebody resumes it" in told.why
    assert told.estimate.seconds is None


def test_scheduled_running_and_late_jobs(app: Celery, store: Store) -> None:
    later = letters.publish(app, org="acme", countdown=600)
    assert "due in 10 min" in jobs.explain(ACTOR, later).why
    late = letters.publish(app, org="acme", deadline=datetime.now(UTC) - timedelta(seconds=90))
    told = jobs.explain(ACTOR, late)
    assert told.overdue_seconds == pytest.approx(90, abs=5)
    assert told.effective_priority == 0, "its deadline has pulled it forward"
    assert any(line.startswith("Its deadline passed 9") for line in told.lines)
    letters.claim(store)
    assert jobs.explain(ACTOR, late).why.startswith("A worker has had it for")


def test_a_blocked_job_tells_how_those_are_that_it_waits_for(app: Celery, store: Store) -> None:
    dead = letters.publish(app, 1)
    letters.die(store)
    ready = letters.publish(app, 2)
    job = letters.publish(app, 3, after=[dead, ready])
    told = jobs.explain(ACTOR, job)
    assert told.why == "It waits for 2 other jobs to succeed."
    assert told.blocked_on == {dead: "dead", ready: "ready"}
    assert f"Waits for {dead}, which is dead." in told.lines
    assert told.estimate.seconds is None


def test_a_job_that_expired_late_is_replayed_without_its_deadline(app: Celery, store: Store) -> None:
    past = datetime.now(UTC) - timedelta(seconds=5)
    late = letters.publish(app, 1, org="acme", deadline=past, deadline_policy="expire")
    assert store.claim(["standard"], 1, 0, "w1", 1).jobs == []
    collector.collect_all(store)
    letter = DeadLetter.objects.get()
    assert (letter.task_id, letter.reason, letter.error_class) == (late, "expired", "DeadlinePassed")
    assert dead_letters.replay(ACTOR, [letter.pk]).count == 1
    job = letters.claim(store, number=2)
    assert (job.task_id, job.deliveries) == (late, 1)


# lists


def test_lists_are_filtered_and_go_on_where_they_stopped(app: Celery, store: Store) -> None:
    for number in range(30):
        letters.publish(app, number, org=f"org{number % 3}")
    letters.publish(app, queue="bulk", org="org0", countdown=60)
    everything = jobs.listed(ACTOR)
    assert (len(everything.rows), everything.after) == (31, None)
    assert len(jobs.listed(ACTOR, org="org1", state="ready", queue="standard").rows) == 10
    [row] = jobs.listed(ACTOR, state="scheduled").rows
    assert (row.queue, row.org) == ("bulk", "org0")


def test_overdue_jobs_are_counted_and_listed_with_the_longest_first(app: Celery, store: Store) -> None:
    now = datetime.now(UTC)
    for seconds in (5, 50, -50):
        letters.publish(app, seconds, org="acme", deadline=now - timedelta(seconds=seconds))
    letters.publish(app)
    found = jobs.overdue(ACTOR)
    assert (found.count, found.after) == (2, None)
    assert [round(row.overdue_ms(found.now_ms) / 1000, -1) for row in found.rows] == [50, 10]


# retry


def test_retry_runs_a_waiting_job_now_and_is_written_down(app: Celery, store: Store) -> None:
    waiting, ready = letters.publish(app, countdown=600), letters.publish(app)
    done = jobs.retry(ACTOR, [waiting, ready, "nobody", waiting])
    assert done.words == {waiting: "ready", ready: "unchanged", "nobody": "unknown"}
    assert done.count == 1
    [entry] = AuditEntry.objects.all()
    assert (entry.who, entry.verb, entry.target, entry.result_count) == ("maria", "retry", "3 jobs", 1)
    assert store.queue_snapshot("standard").ready == 2


# cancel, hold, release


def test_cancel_ends_what_waits_at_once(app: Celery, store: Store) -> None:
    ready, later = letters.publish(app), letters.publish(app, countdown=60)
    done = jobs.cancel(ACTOR, [ready, later, "nobody"])
    assert done.words == {ready: "cancelled", later: "cancelled", "nobody": "unknown"}
    assert (done.count, done.notes) == (2, {})
    assert store.queue_snapshot("standard").totals["cancelled"] == 2
    [entry] = AuditEntry.objects.all()
    assert (entry.verb, entry.result_count) == ("cancel", 2)


def test_cancel_tells_whoever_waits_for_the_result(app: Celery, store: Store) -> None:
    app.conf.update(result_backend="django-db", task_ignore_result=False)
    job = letters.publish(app)
    jobs.cancel(ACTOR, [job])
    assert app.AsyncResult(job).state == "REVOKED"


def test_cancel_of_a_job_whose_worker_does_not_answer_is_kept_for_its_renewal(
    app: Celery, store: Store
) -> None:
    job = letters.publish(app)
    leased = letters.claim(store)
    done = jobs.cancel(ACTOR, [job])
    assert (done.words, done.notes) == ({job: "cancelling"}, {job: "its worker did not answer"})
    holder = leased.token.split("/")[0]
    assert store.renew(holder, {leased.token: 1.0}, answered=1).cancelled == [leased.token]


def test_a_held_job_waits_until_it_is_released(app: Celery, store: Store) -> None:
    job, other = letters.publish(app, org="acme"), letters.publish(app, org="acme")
    assert jobs.hold(ACTOR, [job]).words == {job: "held"}
    told = jobs.explain(ACTOR, job)
    assert (told.state, told.why) == ("blocked", "Somebody holds it.")
    assert told.estimate.seconds is None
    assert letters.claim(store).task_id == other
    assert jobs.hold(ACTOR, [other]).words == {other: "leased"}
    assert jobs.release(ACTOR, [job, other]).words == {job: "released", other: "unchanged"}
    assert letters.claim(store, number=2).task_id == job
    verbs = list(AuditEntry.objects.order_by("pk").values_list("verb", "result_count"))
    assert verbs == [("hold", 1), ("hold", 0), ("release", 1)]


def test_a_job_whose_parent_will_not_come_back_is_released_from_it(app: Celery, store: Store) -> None:
    parent = letters.publish(app, countdown=60)
    child = letters.publish(app, after=[parent])
    jobs.cancel(ACTOR, [parent])
    assert jobs.release(ACTOR, [child]).words == {child: "unchanged"}

    assert jobs.release(ACTOR, [child], from_parents=True).words == {child: "released"}

    assert letters.claim(store).task_id == child
    assert AuditEntry.objects.latest("pk").verb == "release from parents"


# drain


def test_a_queue_is_drained_to_later_and_for_good(app: Celery, store: Store) -> None:
    for number in range(7):
        letters.publish(app, number, org=f"org{number % 2}")
    seen: list[int] = []
    done = queues.drain(ACTOR, "standard", delay=timedelta(hours=24), progress=seen.append)
    assert (done.count, done.finished, seen) == (7, True, [7])
    assert done.until is not None and done.until - datetime.now(UTC) > timedelta(hours=23)
    assert (store.queue_snapshot("standard").ready, store.queue_snapshot("standard").scheduled) == (0, 7)
    assert queues.drain(ACTOR, "standard", until=done.until).count == 0
    assert queues.drain(ACTOR, "standard", remove=True).count == 7
    entries = AuditEntry.objects.order_by("pk")
    assert [(entry.verb, entry.target, entry.result_count) for entry in entries] == [
        ("drain", "queue standard", 7),
        ("drain", "queue standard", 0),
        ("drain", "queue standard", 7),
    ]
    assert entries[2].parameters == {"remove": True}


def test_drain_is_told_how_and_of_what(app: Celery) -> None:
    with pytest.raises(ValueError, match="Say how to drain"):
        queues.drain(ACTOR, "standard")
    with pytest.raises(ValueError, match="is over"):
        queues.drain(ACTOR, "standard", delay=timedelta(seconds=-5))
    with pytest.raises(UnknownQueue):
        queues.drain(ACTOR, "nowhere", remove=True)
    assert not AuditEntry.objects.exists()


def test_every_verb_asks_for_its_permission(app: Celery) -> None:
    nobody = person()
    for verb in (
        lambda: jobs.info(nobody, "x"),
        lambda: jobs.explain(nobody, "x"),
        lambda: jobs.listed(nobody),
        lambda: jobs.overdue(nobody),
        lambda: jobs.retry(nobody, ["x"]),
        lambda: jobs.cancel(nobody, ["x"]),
        lambda: jobs.hold(nobody, ["x"]),
        lambda: jobs.release(nobody, ["x"]),
        lambda: queues.drain(nobody, "standard", remove=True),
        lambda: leases.stuck(nobody),
        lambda: leases.unstick(nobody, "x"),
        lambda: leases.recover(nobody),
    ):
        with pytest.raises(PermissionDenied):
            verb()
    assert not AuditEntry.objects.exists()
    assert permissions.VIEW_JOBS == "queueops.view_jobs"
