"""Every verb that changes something: what it needs, and how each surface is asked for it.

Words in capitals stand for what `prepare` has made (JOB, LETTER, FINGERPRINT, ENTRY, ROW) and for times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.utils import timezone

from tests.support import letters
from tests.surfaces.verbs.scene import Scene


@dataclass(frozen=True)
class Verb:
    """One verb.

    Attributes:
        name: what the test is called.
        function: the verb in `queueops/ops`, as "module.function".
        permission: the codename without which nobody may; `needs`: others of which each is needed as well.
        cli: the command's words. api: path below the API's address, and body. dashboard: the action's name,
            and its form. A surface that does not have the verb is None; `why` says why.
        admin: path of a page of admin below /admin/queueops/, and its form, where the verb is one of rows.
        prepare: makes what it is done to. after: waits for what goes on when the surface has answered.
        by_rows: the verb that admin calls instead, where rows are saved or deleted as a whole.
        reads, writes: it takes, or gives, a file of letters; the command by stdin or stdout. What writes is
            asked for with GET by the API.
        codes: what the command may end with.
        told: why the entries of the surfaces tell the same with different parameters; "": they do not.
        also: further permissions that its way needs, as those to see the list that it starts from.
    """

    name: str
    function: str
    permission: str
    cli: tuple[str, ...] | None
    api: tuple[str, dict[str, Any]] | None
    dashboard: tuple[str, dict[str, Any]] | None
    prepare: Callable[[Scene], object] = lambda scene: None
    also: tuple[str, ...] = ()
    codes: tuple[int, ...] = (0,)
    admin: tuple[str, dict[str, Any]] | None = None
    told: str = ""
    why: str = ""
    needs: tuple[str, ...] = ()
    after: Callable[[Scene], object] = lambda scene: None
    by_rows: str = ""
    reads: bool = False
    writes: bool = False
    surfaces: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        have = tuple(name for name in ("cli", "api", "dashboard") if getattr(self, name) is not None)
        assert len(have) == 3 or self.why, f"{self.name}: say why a surface is missing"
        object.__setattr__(self, "surfaces", have + (("admin",) if self.admin else ()))

    @property
    def permissions(self) -> tuple[str, ...]:
        """All without which nobody may."""
        return (self.permission, *self.needs)


def _waiting(scene: Scene) -> None:
    scene.waiting(3, org="acme")


def _paused(scene: Scene) -> None:
    scene.waiting(2, org="acme")
    scene.store.pause("bulk")


def _task_paused(scene: Scene) -> None:
    scene.waiting(2)
    scene.store.pause("bulk", task="shop.deliver")


def _broken(scene: Scene) -> None:
    # Of what kombu counts a queue by: the doctor makes it again.
    _waiting(scene)
    scene.store.client.delete("bulk")


def _org_limited(scene: Scene) -> None:
    from queueops.models import OrgLimit

    scene.waiting(2, org="acme")
    row = OrgLimit.objects.create(org="acme", queue="bulk", max_in_flight=3)
    scene.names["ROW"] = str(row.pk)


def _org_paused(scene: Scene) -> None:
    from queueops.models import OrgLimit

    scene.waiting(2, org="acme")
    OrgLimit.objects.create(org="acme", queue="bulk", paused=True)


def _resource(scene: Scene) -> None:
    scene.waiting(2, resource="whatsapp")


def _resource_limited(scene: Scene) -> None:
    from queueops.models import Resource

    _resource(scene)
    scene.names["ROW"] = str(Resource.objects.create(name="whatsapp", max_in_flight=3).pk)


def _resource_paused(scene: Scene) -> None:
    _resource(scene)
    scene.store.pause("", resource="whatsapp")


def _panic(scene: Scene) -> None:
    _resource(scene)
    scene.store.panic("whatsapp", by="tests", reason="down")


def _held(scene: Scene) -> None:
    scene.waiting()
    scene.store.hold(scene.names["JOB"])


def _with_parent(scene: Scene) -> None:
    parent = letters.publish(scene.app, 1, queue="bulk")
    scene.waiting(after=[parent])


def _late(scene: Scene) -> None:
    scene.waiting(countdown=3600)


def _old_result(scene: Scene) -> None:
    from django_celery_results.models import TaskResult

    TaskResult.objects.create(task_id="old")
    TaskResult.objects.update(date_done=timezone.now() - timedelta(days=60))


def _three_dead(scene: Scene) -> None:
    scene.dead(3)


def _exported(scene: Scene) -> None:
    from queueops.models import DeadLetter
    from queueops.ops import letter_files, letter_list
    from queueops.ops.permissions import Actor

    scene.dead(2)
    lines: list[str] = []
    letter_files.export(Actor.system("tests"), *letter_list.matching(), lines.append)
    scene.file = "".join(lines)
    DeadLetter.objects.all().delete()
    scene.forget_audit()


def _refused_by_the_broker(scene: Scene) -> None:
    from django.db import transaction

    from queueops.models import OutboxEntry
    from queueops.ops.in_transaction import enqueue_in_transaction

    with transaction.atomic():
        enqueue_in_transaction("shop.note", (1,), {}, org="acme", queue="bulk", after=["nobody-knows-it"])
    row = OutboxEntry.objects.get()
    assert row.refused_at is not None, "the broker has refused it"
    scene.names["ROW"] = str(row.pk)


def _token_of_another(scene: Scene) -> None:
    from django.contrib.auth.models import User

    from queueops.ops import tokens
    from queueops.ops.permissions import Actor

    made = tokens.create(Actor.system("tests"), User.objects.create_user("otto"), "deploy")
    scene.names["ROW"] = str(made.row.pk)
    scene.forget_audit()


def _at_work(scene: Scene) -> None:
    scene.at_work()


def _quiet(scene: Scene) -> None:
    scene.at_work(quiet=True)


def _dead_with_a_worker(scene: Scene) -> None:
    # Quiet until they have died: it would run them.
    scene.at_work(quiet=True)
    scene.dead(3, queue="standard", task="ledger.run")
    scene.hush(False)


def _old_letter(scene: Scene) -> None:
    from queueops.models import DeadLetter

    scene.dead(2)
    old = timezone.now() - timedelta(days=60)
    DeadLetter.objects.filter(pk=scene.names["LETTER"]).update(died_at=old)


def _scaled(scene: Scene) -> None:
    from queueops.ops import scaling
    from queueops.ops.permissions import Actor

    _waiting(scene)
    scaling.scale(Actor.system("tests"), "bulk", 4)
    scene.forget_audit()


def _known_org(scene: Scene) -> None:
    scene.dead(2)
    _org_limited(scene)


def _schedule(enabled: bool) -> Callable[[Scene], None]:
    def prepare(scene: Scene) -> None:
        from django_celery_beat.models import IntervalSchedule, PeriodicTask

        every = IntervalSchedule.objects.create(every=1, period="days")
        entry = PeriodicTask.objects.create(
            name="nightly", task="shop.deliver", interval=every, enabled=enabled, queue="bulk"
        )
        scene.names |= {"ENTRY": str(entry.pk), "INTERVAL": str(every.pk)}

    return prepare


_LIMIT_FORM = {"org": "acme", "queue": "bulk", "weight": "", "rpm": "", "burst": "", "share": ""} | {
    "valid_until_0": "",
    "valid_until_1": "",
}
_RESOURCE_FORM = {"name": "whatsapp", "note": ""} | dict.fromkeys(
    (
        *("rate", "burst", "breaker", "failure_share", "min_calls", "window_seconds", "open_seconds"),
        *("longest_open_seconds", "probes"),
    ),
    "",
)
_NIGHTLY = {"name": "nightly", "task": "tasks.webhooks.deliver", "cron": "0 4 * * *", "queue": "bulk"}

#: Admin's list of django-celery-beat, and what is needed to see and change its rows.
_SCHEDULES = "/admin/django_celery_beat/periodictask/"
_ENTRIES = ("view_periodictask", "change_periodictask", "delete_periodictask")
_ONLY_ROWS = "rows that only admin lists"

VERBS = (
    Verb(
        "pause queue",
        "queues.pause",
        "pause_queue",
        ("queue", "pause", "bulk", "--reason", "incident"),
        ("queues/bulk/pause", {"reason": "incident"}),
        ("pause_queue", {"queue": "bulk", "reason": "incident"}),
        _waiting,
    ),
    Verb(
        "resume queue",
        "queues.resume",
        "pause_queue",
        ("queue", "resume", "bulk"),
        ("queues/bulk/resume", {}),
        ("resume_queue", {"queue": "bulk"}),
        _paused,
    ),
    Verb(
        "pause all",
        "queues.pause_all",
        "pause_queue",
        ("queue", "pause", "--all", "--reason", "incident"),
        ("pause", {"reason": "incident"}),
        ("pause_all", {"reason": "incident"}),
        _waiting,
    ),
    Verb(
        "resume all",
        "queues.resume_all",
        "pause_queue",
        ("queue", "resume", "--all"),
        ("resume", {}),
        ("resume_all", {}),
        _paused,
    ),
    Verb(
        "drain to later",
        "queues.drain",
        "drain_queue",
        ("queue", "drain", "bulk", "--delay", "24h", "--yes"),
        ("queues/bulk/drain", {"delay_seconds": 86_400}),
        ("drain_later", {"queue": "bulk", "hours": "24", "sure": "bulk"}),
        _waiting,
        also=("view_operations",),
    ),
    Verb(
        "drain for good",
        "queues.drain",
        "drain_queue",
        ("queue", "drain", "bulk", "--remove", "--yes"),
        ("queues/bulk/drain", {"remove": True}),
        ("drain_remove", {"queue": "bulk", "sure": "bulk"}),
        _waiting,
        also=("view_operations",),
    ),
    Verb(
        "pause task",
        "tasks.pause",
        "pause_task",
        ("queue", "pause", "bulk", "--task", "shop.deliver", "--reason", "incident"),
        ("tasks/shop.deliver/pause", {"queue": "bulk", "reason": "incident"}),
        ("pause_task", {"queue": "bulk", "task": "shop.deliver", "reason": "incident"}),
        _waiting,
    ),
    Verb(
        "resume task",
        "tasks.resume",
        "pause_task",
        ("queue", "resume", "bulk", "--task", "shop.deliver"),
        ("tasks/shop.deliver/resume", {"queue": "bulk"}),
        ("resume_task", {"queue": "bulk", "task": "shop.deliver"}),
        _task_paused,
    ),
    Verb(
        "pause org",
        "orgs.pause",
        "pause_org",
        ("org", "pause", "acme", "--queue", "bulk", "--reason", "incident"),
        ("orgs/acme/pause", {"queue": "bulk", "reason": "incident"}),
        ("pause_org", {"org": "acme", "queue": "bulk", "reason": "incident"}),
        _waiting,
    ),
    Verb(
        "resume org",
        "orgs.resume",
        "pause_org",
        ("org", "resume", "acme", "--queue", "bulk"),
        ("orgs/acme/resume", {"queue": "bulk"}),
        ("resume_org", {"org": "acme", "queue": "bulk"}),
        _org_paused,
    ),
    Verb(
        "set limit",
        "limits.set_limit",
        "change_orglimit",
        ("org", "set-limit", "acme", "--queue", "bulk", "--max", "20", "--note", "more"),
        ("orgs/acme/set-limit", {"queue": "bulk", "max_in_flight": 20, "note": "more"}),
        ("set_limit", {"org": "acme", "queue": "bulk", "max_in_flight": "20", "note": "more"}),
        _org_limited,
        by_rows="limits.save_row",
        admin=("orglimit/ROW/change/", {**_LIMIT_FORM, "max_in_flight": "20", "note": "more"}),
    ),
    Verb(
        "set limit for a time",
        "limits.set_limit",
        "add_orglimit",
        ("org", "set-limit", "acme", "--queue", "bulk", "--max", "20", "--for", "1h"),
        ("orgs/acme/set-limit", {"queue": "bulk", "max_in_flight": 20, "valid_until": "IN_AN_HOUR"}),
        ("set_limit", {"org": "acme", "queue": "bulk", "max_in_flight": "20", "minutes": "60"}),
        _waiting,
        also=("change_orglimit",),
    ),
    Verb(
        "throttle org",
        "limits.throttle",
        "add_orglimit",
        ("org", "throttle", "acme", "--queue", "bulk", "--max", "5", "--for", "1h"),
        ("orgs/acme/throttle", {"queue": "bulk", "max_in_flight": 5, "until": "IN_AN_HOUR"}),
        ("throttle", {"org": "acme", "queue": "bulk", "max_in_flight": "5", "minutes": "60"}),
        _waiting,
        also=("change_orglimit",),
    ),
    Verb(
        "reset limit",
        "limits.reset_limit",
        "delete_orglimit",
        ("org", "reset-limit", "acme", "--queue", "bulk"),
        ("orgs/acme/reset-limit", {"queue": "bulk"}),
        ("reset_limit", {"org": "acme", "queue": "bulk"}),
        _org_limited,
        by_rows="limits.reset_rows",
        admin=("orglimit/ROW/delete/", {"post": "yes"}),
    ),
    Verb(
        "set limit of a resource",
        "resources.set_limit",
        "change_resource",
        ("resource", "set-limit", "whatsapp", "--max", "20"),
        ("resources/whatsapp/set-limit", {"max_in_flight": 20}),
        ("set_resource_limit", {"resource": "whatsapp", "max_in_flight": "20"}),
        _resource_limited,
        by_rows="resources.save_row",
        admin=("resource/ROW/change/", {**_RESOURCE_FORM, "max_in_flight": "20"}),
    ),
    Verb(
        "reset limit of a resource",
        "resources.reset_limit",
        "delete_resource",
        ("resource", "reset-limit", "whatsapp"),
        ("resources/whatsapp/reset-limit", {}),
        ("reset_resource_limit", {"resource": "whatsapp"}),
        _resource_limited,
        by_rows="resources.reset_rows",
        admin=("resource/ROW/delete/", {"post": "yes"}),
    ),
    Verb(
        "pause resource",
        "resources.pause",
        "pause_resource",
        ("queue", "pause", "--resource", "whatsapp", "--reason", "incident"),
        ("resources/whatsapp/pause", {"reason": "incident"}),
        ("pause_resource", {"resource": "whatsapp", "reason": "incident"}),
        _resource,
        admin=("resource/operate/pause/?name=whatsapp", {"name": "whatsapp", "reason": "incident"}),
    ),
    Verb(
        "resume resource",
        "resources.resume",
        "pause_resource",
        ("queue", "resume", "--resource", "whatsapp"),
        ("resources/whatsapp/resume", {}),
        ("resume_resource", {"resource": "whatsapp"}),
        _resource_paused,
        admin=("resource/operate/resume/?name=whatsapp", {"name": "whatsapp"}),
    ),
    Verb(
        "panic on",
        "panic.on",
        "panic_resource",
        ("panic", "on", "whatsapp", "--reason", "down"),
        ("resources/whatsapp/panic/on", {"reason": "down"}),
        ("panic_on", {"resource": "whatsapp", "reason": "down"}),
        _resource,
        admin=("resource/operate/panic/?name=whatsapp", {"name": "whatsapp", "reason": "down"}),
    ),
    Verb(
        "panic off",
        "panic.off",
        "panic_resource",
        ("panic", "off", "whatsapp"),
        ("resources/whatsapp/panic/off", {}),
        ("panic_off", {"resource": "whatsapp"}),
        _panic,
        admin=("resource/operate/panic_off/?name=whatsapp", {"name": "whatsapp"}),
    ),
    Verb(
        "cancel job",
        "jobs.cancel",
        "cancel_job",
        ("job", "cancel", "JOB", "--yes"),
        ("jobs/cancel", {"task_ids": ["JOB"]}),
        ("cancel", {"task_id": "JOB"}),
        Scene.waiting,
    ),
    Verb(
        "hold job",
        "jobs.hold",
        "hold_job",
        ("job", "hold", "JOB"),
        ("jobs/hold", {"task_ids": ["JOB"]}),
        ("hold", {"task_id": "JOB"}),
        Scene.waiting,
    ),
    Verb(
        "release job",
        "jobs.release",
        "hold_job",
        ("job", "release", "JOB"),
        ("jobs/release", {"task_ids": ["JOB"]}),
        ("release", {"task_id": "JOB"}),
        _held,
    ),
    Verb(
        "release job from its parents",
        "jobs.release",
        "hold_job",
        ("job", "release", "JOB", "--from-parents"),
        ("jobs/release", {"task_ids": ["JOB"], "from_parents": True}),
        ("release_from_parents", {"task_id": "JOB"}),
        _with_parent,
    ),
    Verb(
        "retry job",
        "jobs.retry",
        "retry_job",
        ("job", "retry", "JOB"),
        ("jobs/retry", {"task_ids": ["JOB"]}),
        ("retry", {"task_id": "JOB"}),
        _late,
    ),
    Verb(
        "give a stuck job back",
        "leases.unstick",
        "unstick_job",
        ("queue", "unstick", "--job", "JOB", "--yes"),
        ("jobs/JOB/unstick", {"to": "lane"}),
        ("unstick", {"task_id": "JOB"}),
        Scene.stuck,
    ),
    Verb(
        "unstick job to the dead letters",
        "leases.unstick",
        "unstick_job",
        ("queue", "unstick", "--job", "JOB", "--to-dead", "--yes"),
        ("jobs/JOB/unstick", {"to": "dead"}),
        ("unstick_to_dead", {"task_id": "JOB"}),
        Scene.running,
    ),
    Verb(
        "recover",
        "leases.recover",
        "recover_leases",
        ("system", "recover"),
        ("recover", {}),
        ("recover", {}),
        Scene.expired,
    ),
    Verb(
        "cleanup",
        "cleanup.cleanup",
        "cleanup",
        ("system", "cleanup", "--days", "30", "--yes"),
        ("cleanup", {"days": 30}),
        ("cleanup", {"days": "30"}),
        _old_result,
    ),
    Verb(
        "repair",
        "doctor.repair",
        "repair_broker",
        ("system", "doctor", "--repair"),
        ("doctor/repair", {}),
        ("repair", {}),
        _broken,
        codes=(0, 6),
    ),
    Verb(
        "replay letters",
        "dead_letters.replay_matching",
        "replay_deadletter",
        ("dlq", "replay", "--fingerprint", "FINGERPRINT", "--queue", "bulk", "--yes"),
        ("dead-letters/replay", {"filter": {"fingerprint": "FINGERPRINT", "queue": "bulk"}}),
        ("replay_group", {"fingerprint": "FINGERPRINT", "queue": "bulk"}),
        _three_dead,
        also=("view_deadletter",),
        admin=("deadletter/operate/replay/", {"filter": "queue=bulk", "until": "NOW"}),
        told="the command line always watches for letters that die again",
    ),
    Verb(
        "replay letters carefully",
        "guarded_replay.replay_guarded",
        "replay_deadletter",
        ("dlq", "replay", "--fingerprint", "FINGERPRINT", "--queue", "standard", "--canary", "1", "--yes"),
        (
            "dead-letters/replay-guarded",
            {"filter": {"fingerprint": "FINGERPRINT", "queue": "standard"}, "canary": 1},
        ),
        ("replay_canary", {"fingerprint": "FINGERPRINT", "queue": "standard", "canary": "1"}),
        _dead_with_a_worker,
        also=("view_deadletter",),
        after=lambda scene: scene.stack.wait_empty("standard", within=60),
    ),
    Verb(
        "discard letters",
        "dead_letters.discard",
        "discard_deadletter",
        ("dlq", "discard", "--fingerprint", "FINGERPRINT", "--queue", "bulk", "--yes"),
        ("dead-letters/discard", {"filter": {"fingerprint": "FINGERPRINT", "queue": "bulk"}}),
        ("discard_group", {"fingerprint": "FINGERPRINT", "queue": "bulk"}),
        _three_dead,
        also=("view_deadletter",),
        admin=("deadletter/operate/discard/", {"filter": "queue=bulk", "until": "NOW"}),
    ),
    Verb(
        "replay a letter",
        "dead_letters.replay",
        "replay_deadletter",
        ("dlq", "replay", "LETTER"),
        ("dead-letters/replay", {"filter": {"letters": ["LETTER"]}}),
        ("replay_letter", {"letter": "LETTER"}),
        _three_dead,
        admin=("deadletter/operate/replay/", {"ids": "LETTER", "until": "NOW"}),
    ),
    Verb(
        "replay a letter with other arguments",
        "dead_letters.edit_and_replay",
        "edit_deadletter",
        None,
        ("dead-letters/LETTER/edit-and-replay", {"args": [7], "kwargs": {}}),
        None,
        _three_dead,
        needs=("replay_deadletter", "view_payload"),
        why="people are shown both payloads before, which is a page of admin",
        admin=("deadletter/LETTER/edit/", {"step": "replay", "args": "[7]", "kwargs": "{}"}),
    ),
    Verb(
        "discard a letter",
        "dead_letters.discard",
        "discard_deadletter",
        ("dlq", "discard", "LETTER", "--yes"),
        ("dead-letters/discard", {"filter": {"letters": ["LETTER"]}}),
        ("discard_letter", {"letter": "LETTER"}),
        _three_dead,
        admin=("deadletter/operate/discard/", {"ids": "LETTER", "until": "NOW"}),
    ),
    Verb(
        "export letters",
        "letter_files.export",
        "export_deadletter",
        ("dlq", "export", "--queue", "bulk", "--younger-than", "24h"),
        ("dead-letters/export", {"queue": "bulk", "died_since": "A_DAY_AGO"}),
        ("export_letters", {"queue": "bulk", "hours": "24"}),
        _three_dead,
        needs=("view_payload",),
        writes=True,
    ),
    Verb(
        "import letters",
        "letter_files.import_lines",
        "export_deadletter",
        ("dlq", "import", "-"),
        ("dead-letters/import", {"lines": "LINES"}),
        ("import_letters", {"file": "UPLOAD"}),
        _exported,
        needs=("enqueue_job",),
        reads=True,
    ),
    Verb(
        "purge letters",
        "dead_letters.purge",
        "purge_deadletter",
        ("dlq", "purge", "--queue", "bulk", "--days", "30", "--yes"),
        ("dead-letters/purge", {"filter": {"queue": "bulk", "status": "all", "died_before": "A_MONTH_AGO"}}),
        None,
        _old_letter,
        also=("view_deadletter",),
        why="in a browser letters are purged in admin, where they are chosen and counted",
        admin=("deadletter/operate/purge/", {"filter": "queue=bulk", "until": "A_MONTH_AGO"}),
    ),
    Verb(
        "add schedule",
        "schedules.add",
        "operate_schedule",
        ("schedule", "add", "nightly", "tasks.webhooks.deliver", "--cron", "0 4 * * *", "--queue", "bulk"),
        (
            "schedules",
            {"name": "nightly", "task": "tasks.webhooks.deliver", "cron": "0 4 * * *", "queue": "bulk"},
        ),
        (
            "add_schedule",
            {"name": "nightly", "task": "tasks.webhooks.deliver", "cron": "0 4 * * *", "queue": "bulk"},
        ),
    ),
    Verb(
        "enable schedule",
        "schedules.enable",
        "operate_schedule",
        ("schedule", "enable", "ENTRY"),
        ("schedules/ENTRY/enable", {}),
        ("enable_schedule", {"id": "ENTRY"}),
        _schedule(False),
        also=_ENTRIES,
        admin=(_SCHEDULES, {"action": "enable_tasks", "_selected_action": "ENTRY"}),
    ),
    Verb(
        "disable schedule",
        "schedules.disable",
        "operate_schedule",
        ("schedule", "disable", "ENTRY"),
        ("schedules/ENTRY/disable", {}),
        ("disable_schedule", {"id": "ENTRY"}),
        _schedule(True),
        also=_ENTRIES,
        admin=(_SCHEDULES, {"action": "disable_tasks", "_selected_action": "ENTRY"}),
    ),
    Verb(
        "run schedule now",
        "schedules.run_now",
        "operate_schedule",
        ("schedule", "run-now", "ENTRY"),
        ("schedules/ENTRY/run-now", {}),
        ("run_now", {"id": "ENTRY"}),
        _schedule(True),
        also=_ENTRIES,
        admin=(_SCHEDULES, {"action": "run_tasks", "_selected_action": "ENTRY"}),
    ),
    Verb(
        "scale",
        "scaling.scale",
        "operate_worker",
        ("worker", "scale", "bulk", "4", "--for", "1h"),
        ("queues/bulk/scale", {"count": 4, "until": "IN_AN_HOUR"}),
        ("scale", {"queue": "bulk", "count": "4", "minutes": "60"}),
        _waiting,
        codes=(0, 1),
    ),
    Verb(
        "end scaling by hand",
        "scaling.unscale",
        "operate_worker",
        ("worker", "scale", "bulk", "--auto"),
        ("queues/bulk/unscale", {}),
        ("unscale", {"queue": "bulk"}),
        _scaled,
    ),
    Verb(
        "make a worker quiet",
        "workers.quiet",
        "operate_worker",
        ("worker", "quiet", "WORKER"),
        ("workers/quiet", {"names": ["WORKER"]}),
        ("quiet_worker", {"name": "WORKER"}),
        _at_work,
        after=Scene.wait_quiet,
    ),
    Verb(
        "have a quiet worker take jobs",
        "workers.unquiet",
        "operate_worker",
        ("worker", "unquiet", "WORKER"),
        ("workers/unquiet", {"names": ["WORKER"]}),
        ("unquiet_worker", {"name": "WORKER"}),
        _quiet,
        after=lambda scene: scene.wait_quiet(False),
    ),
    Verb(
        "restart a worker",
        "workers.restart",
        "operate_worker",
        ("worker", "restart", "WORKER", "--yes"),
        ("workers/restart", {"names": ["WORKER"]}),
        ("restart_worker", {"name": "WORKER"}),
        _at_work,
        after=Scene.wait_renewed,
    ),
    Verb(
        "stop a worker",
        "workers.stop",
        "operate_worker",
        ("worker", "stop", "WORKER", "--yes"),
        ("workers/stop", {"names": ["WORKER"]}),
        ("stop_worker", {"name": "WORKER"}),
        _at_work,
        after=Scene.wait_gone,
    ),
    Verb(
        "enqueue a job",
        "submit.submit",
        "enqueue_job",
        ("job", "submit", "tasks.maintenance.clean_results", "--queue=bulk", "--org=acme", "--in=60s"),
        (
            "jobs",
            {
                "task": "tasks.maintenance.clean_results",
                "queue": "bulk",
                "org": "acme",
                "countdown_seconds": 60,
            },
        ),
        (
            "enqueue",
            {"task": "tasks.maintenance.clean_results", "queue": "bulk", "org": "acme", "countdown": "60"},
        ),
    ),
    Verb(
        "forget org",
        "forgetting.forget",
        "forget_org",
        ("org", "forget", "acme", "--yes"),
        ("orgs/acme/forget", {}),
        ("forget_org", {"org": "acme", "sure": "acme"}),
        _known_org,
    ),
    Verb(
        "change schedule as a row",
        "schedules.save_row",
        "operate_schedule",
        None,
        None,
        None,
        _schedule(True),
        also=_ENTRIES,
        why=_ONLY_ROWS,
        admin=(
            f"{_SCHEDULES}ENTRY/change/",
            {
                "name": "hourly",
                "task": "shop.deliver",
                "interval": "INTERVAL",
                "queue": "bulk",
                "args": "[]",
                "kwargs": "{}",
                "headers": "{}",
            },
        ),
    ),
    Verb(
        "delete schedule as a row",
        "schedules.delete_rows",
        "operate_schedule",
        None,
        None,
        None,
        _schedule(True),
        also=_ENTRIES,
        why=_ONLY_ROWS,
        admin=(f"{_SCHEDULES}ENTRY/delete/", {"post": "yes"}),
    ),
    Verb(
        "retry a job of the outbox",
        "outbox.retry",
        "retry_outboxentry",
        None,
        None,
        None,
        _refused_by_the_broker,
        also=("view_outboxentry",),
        why=_ONLY_ROWS,
        admin=("outboxentry/", {"action": "retry_selected", "_selected_action": "ROW"}),
    ),
    Verb(
        "discard a job of the outbox",
        "outbox.discard",
        "discard_outboxentry",
        None,
        None,
        None,
        _refused_by_the_broker,
        also=("view_outboxentry",),
        why=_ONLY_ROWS,
        admin=("outboxentry/", {"action": "discard_selected", "_selected_action": "ROW"}),
    ),
    Verb(
        "create a token",
        "tokens.create",
        "create_apitoken",
        ("token", "create", "maria", "deploy", "--scope", "operate"),
        None,
        None,
        why="a secret that is said once: who has no token yet, or a browser, makes one in admin",
        admin=("apitoken/add/", {"name": "deploy", "scope": "operate"}),
    ),
    Verb(
        "revoke a token",
        "tokens.revoke",
        "revoke_apitoken",
        ("token", "revoke", "ROW", "--yes"),
        None,
        None,
        _token_of_another,
        also=("view_apitoken",),
        why="beside where tokens are made",
        admin=("apitoken/", {"action": "revoke_selected", "_selected_action": "ROW"}),
    ),
)

#: Verbs of `queueops/ops` that the table does not try, and why.
ELSEWHERE = {
    "letter_files.exported": "export, into the file that API and dashboard send",
}
