"""Each button calls its verb, says what was done, and leaves an entry that names the dashboard."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from celery import Celery
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from queueops.dashboard import letter_actions, org_actions, overview, queue_actions
from queueops.dashboard.actions import ACTIONS
from queueops.engine import job_verbs
from queueops.engine.store import Store
from queueops.engine.types import Settlement
from queueops.models import AuditEntry, DeadLetter, OrgLimit, Resource
from queueops.ops import dead_letters, jobs, orgs
from queueops.ops.permissions import Actor
from tests.support import letters
from tests.surfaces.dashboard.conftest import BASE, Press, register

ME = Actor.shell("maria")


def entry() -> tuple[str, str, int]:
    """The last thing the audit log knows, which must name the dashboard."""
    last = AuditEntry.objects.latest("pk")
    assert last.surface == "dashboard"
    return last.verb, last.target, last.result_count


def go_on(press: Press, told: str) -> list[str]:
    """Press the button that stands in a message."""
    [(name, form)] = re.findall(r'action="[^"]*/do/(\w+)/">(.*?)</form>', told, re.DOTALL)
    fields: dict[str, list[str]] = {}
    for field, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form):
        fields.setdefault(field, []).append(unescape(value))
    assert fields.pop("csrfmiddlewaretoken") and fields.pop("next")
    return press(name, **fields)


def dead(app: Celery, store: Store, count: int) -> list[DeadLetter]:
    for number in range(count):
        letters.publish(app, number, org="acme")
        letters.die(store)
    dead_letters.collect_all(store)
    return list(DeadLetter.objects.order_by("pk"))


# Queues and tasks


def test_a_queue_is_paused_for_a_time_with_a_reason_and_resumed(press: Press, store: Store) -> None:
    [told] = press("pause_queue", queue="standard", minutes="60", reason="they migrate")
    assert told.startswith("success: Queue standard is paused until ")
    paused = store.queue_snapshot("standard").paused
    assert paused is not None and paused.reason == "they migrate"
    assert abs(paused.until_ms / 1000 - timezone.now().timestamp() - 3_600) < 60
    assert entry() == ("pause", "queue standard", 1)

    assert press("resume_queue", queue="standard", ramp="5") == ["success: Queue standard is resumed."]
    assert AuditEntry.objects.latest("pk").parameters == {"ramp": "300 s"}
    assert press("resume_queue", queue="standard") == ["warning: Queue standard was not paused."]


def test_all_queues_are_paused_and_resumed(press: Press, store: Store) -> None:
    [told] = press("pause_all", reason="storm")
    assert "queues are paused until it is ended by hand." in told
    assert store.queue_snapshot("bulk").paused is not None
    [told] = press("resume_all")
    assert told.startswith("success: Resumed: bulk, critical")
    assert press("resume_all") == ["warning: No queue was paused."]


def test_a_task_is_paused_in_a_queue_and_resumed(press: Press, store: Store) -> None:
    press("pause_task", queue="standard", task="shop.deliver", minutes="15")
    assert "shop.deliver" in store.paused_tasks("standard")
    assert entry() == ("pause", "task shop.deliver in standard", 1)
    assert press("resume_task", queue="standard", task="shop.deliver") == [
        "success: Task shop.deliver is resumed."
    ]
    assert press("resume_task", queue="standard", task="shop.deliver")[0].startswith("warning:")


def test_a_queue_is_drained_only_by_who_types_its_name(press: Press, app: Celery, store: Store) -> None:
    for number in range(3):
        letters.publish(app, number)
    [told] = press("drain_later", queue="standard", hours="2", sure="standart")
    assert "error:" in told and "another one" in told
    assert store.queue_snapshot("standard").ready == 3 and not AuditEntry.objects.exists()

    assert press("drain_later", queue="standard", hours="2", sure="standard") == ["success: 3 jobs put off."]
    seen = store.queue_snapshot("standard")
    assert (seen.ready, seen.scheduled) == (0, 3)
    assert press("drain_remove", queue="standard", sure="standard") == ["success: 3 jobs deleted."]
    assert store.queue_snapshot("standard").scheduled == 0
    assert press("drain_remove", queue="standard", sure="standard") == ["warning: Nothing was waiting."]


def test_a_long_drain_goes_on_to_the_same_time(
    press: Press, app: Celery, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_actions, "PIECE_SECONDS", 0.0)
    monkeypatch.setattr(job_verbs, "DRAIN_STEP", 2)
    for number in range(4):
        letters.publish(app, number)
    [told] = press("drain_later", queue="standard", hours="2", sure="standard")
    assert told.startswith("warning: 2 jobs put off. More are left. ")
    [told] = go_on(press, told)
    assert told.startswith("warning: 2 jobs put off. More are left. ")
    assert go_on(press, told) == ["warning: Nothing was waiting."]
    assert store.queue_snapshot("standard").scheduled == 4
    drains = AuditEntry.objects.filter(verb="drain")
    assert len({one.parameters["until"] for one in drains}) == 1
    assert sum(one.result_count for one in drains) == 4, "no job is put off twice"


# Jobs


def test_a_job_is_held_released_hurried_and_cancelled(press: Press, app: Celery, store: Store) -> None:
    job = letters.publish(app, 1, countdown=600)
    assert press("hold", task_id=job) == ["success: 1 job held."]
    assert jobs.info(ME, job).state == "blocked"
    assert press("release", task_id=job) == ["success: 1 job released."]
    assert press("retry", task_id=job) == ["success: 1 job may run now."]
    assert jobs.info(ME, job).state == "ready"
    assert press("cancel", task_id=job) == ["success: 1 job cancelled."]
    assert entry() == ("cancel", f"job {job}", 1)
    assert press("cancel", task_id=job)[0].startswith("warning: 0 of 1 job cancelled.")


def test_a_job_is_enqueued(press: Press, app: Celery, store: Store) -> None:
    given = {"task": "tasks.maintenance.clean_results", "queue": "bulk", "org": "acme", "priority": "LOW"}
    [told] = press("enqueue", **given, countdown="60")
    assert told.startswith("success: Job ") and told.endswith(" is scheduled.")
    assert store.org_snapshot("bulk", "acme").scheduled == 1
    [told] = press("enqueue", **{**given, "task": "tasks.maintenance.clean_result"})
    assert told.startswith("error:") and "Did you mean tasks.maintenance.clean_results" in told


def test_jobs_that_were_ticked_go_together(press: Press, app: Celery, store: Store) -> None:
    chosen = [letters.publish(app, number) for number in range(4)]
    assert press("cancel", task_id=chosen[:3]) == ["success: 3 jobs cancelled."]
    assert store.queue_snapshot("standard").ready == 1
    assert press("cancel", task_id=[]) == ["error: Cancel: Jobs: Choose at least one job."]


def test_a_child_is_released_from_its_parents(press: Press, app: Celery, store: Store) -> None:
    parent = letters.publish(app, 1)
    child = letters.publish(app, 2, after=[parent])
    assert jobs.info(ME, child).state == "blocked"
    assert press("release_from_parents", task_id=child) == ["success: 1 job released."]
    assert jobs.info(ME, child).state == "ready"


def test_unstick_says_what_became_of_the_job(press: Press, app: Celery, store: Store) -> None:
    job = letters.publish(app, 1)
    assert press("unstick", task_id=job) == ["warning: It is ready: no worker has it."]
    letters.claim(store)
    # Nobody answers for the run, so it may be alive: it is not given to a second worker.
    [told] = press("unstick", task_id=job)
    assert told.startswith("warning: Nothing was changed:") and "dead letters" in told
    [told] = press("unstick_to_dead", task_id=job)
    assert told.startswith("success: It is a dead letter;")
    assert entry() == ("unstick", f"job {job}", 1)
    [told] = press("unstick", task_id=job)
    assert told.startswith("error: Unstick was not done.")


def test_leases_are_recovered(press: Press, app: Celery, store: Store) -> None:
    assert press("recover") == ["warning: No lease had expired."]
    assert entry() == ("recover", "expired leases", 0)


# Dead letters


def test_a_group_is_replayed_by_one_click(press: Press, app: Celery, store: Store) -> None:
    [first, *_] = dead(app, store, 3)
    told = press("replay_group", fingerprint=first.fingerprint, queue="")
    assert told == ["success: 3 letters replayed."]
    assert store.queue_snapshot("standard").ready == 3
    assert entry() == ("replay", "letters that match", 3)
    assert press("replay_group", fingerprint=first.fingerprint, queue="") == ["warning: 0 letters replayed."]


def test_a_group_is_replayed_carefully(
    press: Press, app: Celery, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letter_actions, "CANARY_SECONDS", 1.0)
    [first, *_] = dead(app, store, 4)
    [told] = press("replay_canary", fingerprint=first.fingerprint, queue="", canary="1")
    # No worker is here to run it: the others stay parked.
    assert told.startswith("warning: 1 letter replayed."), told
    assert DeadLetter.objects.parked().count() == 3
    assert AuditEntry.objects.latest("pk").surface == "dashboard"


def test_canaries_that_take_long_are_judged_when_it_goes_on(
    press: Press, app: Celery, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letter_actions, "CANARY_SECONDS", 0.0)
    [first, *_] = dead(app, store, 4)
    [told] = press("replay_canary", fingerprint=first.fingerprint, queue="", canary="1")
    assert told.startswith("warning: 1 letter replayed. Of the first ones 0 succeeded and 0 failed so far.")
    [told] = go_on(press, told)
    assert told.startswith("warning: 1 letter replayed."), "no more is replayed before the first has ended"

    store.settle([Settlement(letters.claim(store).token, "succeeded", 1.0)])
    monkeypatch.setattr(letter_actions, "CANARY_SECONDS", 60.0)
    assert go_on(press, told) == [
        "success: 4 letters replayed. Of the first ones 1 succeeded and 0 failed so far."
    ]
    assert not DeadLetter.objects.parked().exists()


def test_letters_are_discarded_a_group_or_one(press: Press, app: Celery, store: Store) -> None:
    [first, second, *_] = dead(app, store, 3)
    assert press("discard_letter", letter=second.pk) == ["success: 1 letter discarded."]
    assert press("replay_letter", letter=first.pk) == ["success: 1 letter replayed."]
    assert press("discard_group", fingerprint=first.fingerprint, queue="standard") == [
        "success: 1 letter discarded."
    ]
    assert not DeadLetter.objects.parked().exists()


def downloaded(client: Client, **filters: str) -> list[dict[str, Any]]:
    """The lines of the file with which the button answers."""
    response = client.post(f"{BASE}do/export_letters/", filters)
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert response.headers["Content-Disposition"] == 'attachment; filename="letters.jsonl"'
    return [json.loads(line) for line in b"".join(response).decode().splitlines()]


def test_what_the_filter_of_the_page_matches_is_exported(client: Client, database: None) -> None:
    now = timezone.now()
    for queue, hours, status in (
        ("bulk", 0, "parked"),
        ("bulk", 30, "parked"),
        ("standard", 30, "parked"),
        ("bulk", 300, "parked"),
        ("bulk", 0, "discarded"),
    ):
        letters.row(queue=queue, died_at=now - timedelta(hours=hours), status=status, org=f"{hours}").save()

    def found(query: str) -> tuple[list[tuple[str, str]], str]:
        """What the button on the page gives, and how many letters the page tells."""
        page = client.get(f"{BASE}letters/?{query}").content.decode()
        [values] = re.findall(r'id="export_letters-[^"]*"[^>]* data-ask="([^"]*)"', page)
        lines = downloaded(client, **json.loads(unescape(values)))
        return [(one["queue"], one["org"]) for one in lines], re.findall(r"(\d+) parked in", page)[0]

    assert found("") == ([("bulk", "0")], "1")
    assert found("hours=72") == ([("bulk", "30"), ("standard", "30"), ("bulk", "0")], "3")
    assert found("hours=72&queue=bulk") == ([("bulk", "30"), ("bulk", "0")], "2")
    assert entry() == ("export", "letters that match", 2)
    told = AuditEntry.objects.latest("pk").parameters["filter"]
    assert told == {"queue": "bulk", "status": "parked", "died_since": told["died_since"]}


def test_letters_are_imported_from_a_file_of_lines(
    press: Press, client: Client, app: Celery, store: Store
) -> None:
    dead(app, store, 3)
    text = "".join(f"{json.dumps(one)}\n" for one in downloaded(client, queue="", hours="24"))
    DeadLetter.objects.order_by("pk")[0].delete()

    def upload(content: str) -> list[str]:
        return press("import_letters", file=SimpleUploadedFile("letters.jsonl", content.encode()))

    assert upload(text) == ["success: 1 letter imported; 2 were known, 0 refused."]
    assert entry() == ("import", "letters of a file", 1)
    assert upload(text) == ["warning: 0 letters imported; 3 were known, 0 refused."]
    [told] = upload(f"{text}no letter\n{{}}\n")
    assert told.startswith("warning: 0 letters imported; 3 were known, 2 refused. Line 4: It is not JSON: ")
    assert "Line 5: Its format is None" in told
    assert upload("") == ["error: Import: File: The submitted file is empty."]
    assert press("import_letters") == ["error: Import: File: This field is required."]
    assert DeadLetter.objects.count() == 3


# Orgs


def test_an_org_gets_a_limit_for_a_time(press: Press, store: Store) -> None:
    [told] = press(
        "set_limit", org="acme", queue="bulk", max_in_flight="2", rpm="30", minutes="60", note="noon"
    )
    assert told.startswith("success: Limit of acme in bulk: rpm 30, max in flight 2, until ")
    row = OrgLimit.objects.get()
    assert row.valid_until is not None and row.valid_until > timezone.now() + timedelta(minutes=58)
    assert entry()[0] == "set_limit"

    assert press("set_limit", org="acme", queue="bulk")[0].startswith("error: Set limit was not done.")
    assert press("reset_limit", org="acme", queue="bulk") == ["success: acme has the default in bulk again."]
    assert press("reset_limit", org="acme", queue="bulk")[0].startswith("warning:")


def test_limits_of_an_org_are_reset_in_every_queue_when_none_is_chosen(press: Press, store: Store) -> None:
    press("set_limit", org="acme", queue="bulk", max_in_flight="2")
    press("set_limit", org="acme", queue="", weight="2")
    assert press("reset_limit", org="acme", queue="") == [
        "success: acme has the default in each queue again."
    ]
    assert not OrgLimit.objects.exists()


def test_an_org_is_throttled_paused_and_resumed(press: Press, store: Store) -> None:
    [told] = press("throttle", org="acme", queue="", max_in_flight="1", minutes="15")
    assert told.startswith("success: acme runs at most 1 at once in each queue until ")
    assert entry()[0] == "throttle"
    press("pause_org", org="acme", queue="bulk", reason="unpaid")
    assert store.org_snapshot("bulk", "acme").gate == "pause"
    assert press("resume_org", org="acme", queue="bulk") == ["success: acme is resumed in bulk."]
    assert press("resume_org", org="acme", queue="bulk")[0].startswith(
        "warning: acme was not paused for bulk."
    )


def test_an_org_is_forgotten_by_who_types_its_name(press: Press, app: Celery, store: Store) -> None:
    dead(app, store, 1)
    letters.publish(app, 1, org="acme")
    assert "another one" in press("forget_org", org="acme", sure="Acme")[0]
    [told] = press("forget_org", org="acme", sure="acme")
    assert (
        told.startswith("success: acme is forgotten") and "1 cancelled" in told and "1 letters purged" in told
    )
    assert not DeadLetter.objects.exists()
    assert store.org_snapshot("standard", "acme").ready == 0


def test_forgetting_for_long_goes_on_behind_what_is_masked(
    press: Press, app: Celery, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(org_actions, "PIECE_SECONDS", 0.0)
    seen: list[str] = []
    forget = orgs.forget
    monkeypatch.setattr(
        orgs,
        "forget",
        lambda *given, after, **named: seen.append(after) or forget(*given, after=after, **named),
    )
    for _ in range(2):
        press("throttle", org="acme", queue="", max_in_flight="1", minutes="15")
    [told] = press("forget_org", org="acme", sure="acme")
    for _ in range(20):
        if not told.startswith("warning:"):
            break
        assert "More is left." in told
        [told] = go_on(press, told)
    assert told.startswith("success: acme is forgotten")
    assert seen[0] == "" and seen[-1].startswith("entries:"), seen


# Resources, workers, schedules, the rest


def test_a_resource_is_put_into_panic_paused_and_limited(press: Press, app: Celery, store: Store) -> None:
    letters.publish(app, 1, resource="stripe")
    [told] = press("panic_on", resource="stripe", minutes="15", reason="their status page is red")
    assert told.startswith("success: stripe is in panic mode until ") and told.endswith("1 jobs are held.")
    assert entry() == ("panic", "resource stripe", 1)
    assert press("panic_off", resource="stripe")[0].startswith("success: stripe is out of panic mode")
    assert press("panic_off", resource="stripe")[0].startswith("warning:")
    press("pause_resource", resource="stripe")
    assert store.resource_snapshot("stripe").gate == "pause"
    assert press("resume_resource", resource="stripe") == ["success: stripe is resumed."]
    [told] = press("set_resource_limit", resource="stripe", rate="10/s", burst="5")
    assert told == "success: Limit of stripe: rate 10/s, burst 5."
    assert Resource.objects.get().rate == "10/s"
    assert "error:" in press("set_resource_limit", resource="stripe", rate="quick")[0]
    assert press("reset_resource_limit", resource="stripe")[0].startswith("success:")


def test_a_worker_that_does_not_answer_is_told_of(press: Press, store: Store) -> None:
    register(store, "standard")
    [told] = press("quiet_worker", name="all-1@app-1")
    assert told.startswith("warning: all-1@app-1:")
    [told] = press("stop_worker", name="nobody@nowhere")
    assert told.startswith("error: Stop was not done.") and "all-1@app-1" in told


def test_scaling_is_set_and_ended(press: Press, store: Store) -> None:
    [told] = press("scale", queue="bulk", count="4", minutes="60")
    assert told.startswith("warning: No worker serves bulk. Start one: ")
    assert entry()[:2] == ("scale", "queue bulk")
    assert press("unscale", queue="bulk") == ["success: bulk follows its rule again."]
    assert press("unscale", queue="bulk") == ["warning: Nobody had scaled bulk by hand."]


def test_a_schedule_is_added_run_disabled_and_enabled(press: Press, app: Celery, store: Store) -> None:
    from django_celery_beat.models import PeriodicTask

    [told] = press(
        "add_schedule",
        name="nightly",
        task="tasks.maintenance.clean_results",
        cron="0 4 * * *",
        queue="bulk",
    )
    assert told.startswith("success: Schedule nightly is added: 0 4 * * *")
    row = PeriodicTask.objects.get(name="nightly")
    assert press("run_now", id=row.pk, name="nightly")[0].startswith("success: Sent as job ")
    assert store.queue_snapshot("bulk").ready == 1
    assert press("disable_schedule", id=row.pk) == ["success: Schedule nightly is disabled."]
    assert press("disable_schedule", id=row.pk, name="nightly") == [
        "warning: Schedule nightly was disabled already."
    ]
    assert press("enable_schedule", id=row.pk) == ["success: Schedule nightly is enabled."]
    assert entry() == ("enable", "schedule nightly", 1)
    [told] = press("add_schedule", name="other", task="shop.deliver", args="{", every="5")
    assert told.startswith("error: Add schedule: Args: This is not JSON")


def test_the_doctor_repairs_and_old_rows_go(press: Press, app: Celery, database: None) -> None:
    assert press("repair")[0].partition(":")[0] in ("success", "warning")
    assert entry()[0] == "doctor"
    assert press("cleanup", days="30") == ["warning: Nothing was old enough to be deleted."]
    assert press("cleanup", days="0")[0].startswith("error: Clean up: Older than (days):")


def test_old_rows_go_a_piece_at_a_time(press: Press, app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    old = timezone.now() - timedelta(days=99)
    DeadLetter.objects.bulk_create(letters.row(status="discarded", died_at=old) for _ in range(3))
    monkeypatch.setattr(overview, "PIECE_SECONDS", -1.0)
    [told] = press("cleanup", days="30")
    assert told.startswith("warning: 0 rows deleted. More are left. ")
    monkeypatch.setattr(overview, "PIECE_SECONDS", 60.0)
    assert go_on(press, told) == ["success: 3 rows deleted."]


# What goes wrong


def test_where_nothing_is_known_to_go_back_to_the_overview_is_shown(client: Client, app: Celery) -> None:
    for wanted in ("", "https://elsewhere.example/", "//elsewhere.example/"):
        sent = client.post(f"{BASE}do/resume_all/", {"next": wanted})
        assert sent.headers["Location"] == BASE
    assert client.post(f"{BASE}do/eat/").status_code == 404
    assert client.get(f"{BASE}do/resume_all/").status_code == 405


def test_a_button_needs_its_token(app: Celery, database: None) -> None:
    from django.contrib.auth.models import User

    careful = Client(enforce_csrf_checks=True)
    careful.force_login(User.objects.create_superuser("maria"))
    assert careful.post(f"{BASE}do/pause_all/").status_code == 403
    assert not AuditEntry.objects.exists()


def test_every_action_is_on_a_page() -> None:
    """A verb without a button, or a button of no verb, would be noticed by nobody."""
    from pathlib import Path

    import queueops

    folder = Path(queueops.__file__).parent / "templates" / "queueops" / "dashboard"
    drawn = "".join(path.read_text() for path in folder.rglob("*.html"))
    for name in ACTIONS:
        assert f'"{name}"' in drawn, name
