"""Off-boarding: an org's jobs, letters and limits go, and its name leaves what is kept of the past."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import transaction

from queueops.conf import config
from queueops.engine.rules.values import NAME
from queueops.engine.store import Store
from queueops.errors import InvalidCursor, InvalidOrg, OrgRefused
from queueops.models import AuditEntry, DeadLetter, OrgLimit, OutboxEntry
from queueops.ops import audit, broker, forgotten_names, permissions
from queueops.ops.batches import pages
from queueops.ops.collector import collect_all
from queueops.ops.dead_letters import delete_letters
from queueops.ops.forgotten_names import Mask
from queueops.ops.graves import Graves
from queueops.ops.jobs import cancel_all
from queueops.ops.org_list import known_queues
from queueops.ops.permissions import Actor

__all__ = ["COUNTED", "Forgotten", "forget"]

#: How long to wait for the runs of the org to end before its traces are masked.
STOP_SECONDS = 10.0
#: Rounds over the jobs: one that runs may publish another while it is being stopped.
ROUNDS = 5

#: `after`: nothing, the first stage, or the id at which one of the others goes on.
_AFTER = re.compile(r"(?:jobs|(?P<later>results|entries):(?P<last>[0-9]{1,18}))?")

Progress = Callable[[str, int], None]

#: The fields of `Forgotten` that count something.
COUNTED = (
    "schedules_disabled",
    "cancelled",
    "stopped",
    "running",
    "letters_purged",
    "limits_removed",
    "lines_masked",
    "results_masked",
    "entries_masked",
)


@dataclass(slots=True)
class Forgotten:
    """What was done, or (`dry_run`) what would be.

    Attributes:
        name: what stands for the org from now on, in the audit log and in results.
        cancelled: jobs that waited; those of the outbox among them.
        stopped: jobs that ran and were told to stop.
        running: those of them that had not ended yet at the end; ask again for what they leave behind.
        letters_purged: dead letters, whatever their status.
        limits_removed: rows of limits and pauses.
        schedules_disabled: entries of the schedule that made jobs of the org; they stay, disabled.
        lines_masked: lines of the broker's history, one an attempt that ended or failed lately.
        results_masked, entries_masked: results and audit entries in which its name stood.
        after: where the same call goes on when its time was over; empty at the end.
    """

    name: str
    dry_run: bool
    cancelled: int = 0
    stopped: int = 0
    running: int = 0
    letters_purged: int = 0
    limits_removed: int = 0
    schedules_disabled: int = 0
    lines_masked: int = 0
    results_masked: int = 0
    entries_masked: int = 0
    after: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """What was done and how often, in the order in which it is done."""
        return {name: getattr(self, name) for name in COUNTED}

    @property
    def count(self) -> int:
        """All that was changed."""
        return sum(self.counts.values()) - self.running


def forget(
    actor: Actor,
    org: str,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
    seconds: float | None = None,
    after: str = "",
) -> Forgotten:
    """Off-board an org: cancel its jobs, purge its letters, remove its limits, mask its name.

    It goes in steps and is not atomic; stopped half-way it has done half, and the same call does the rest.
    The audit log keeps one entry for each call, without the name. Jobs that are published meanwhile, or
    later, are new ones: stop their publishers first.

    Args:
        dry_run: change nothing; count what would be done.
        progress: called after each step with what was counted (a field of `Forgotten`) and its number so far.
        seconds: stop after this time at the end of a step; the answer's `after` says where to go on.
        after: that of the call before.

    Raises:
        PermissionDenied: the actor may not forget orgs.
        InvalidOrg: no org can have this name.
        InvalidCursor: `after` is not from an earlier call.
        OrgRefused: it is the default org, to which all jobs without another one belong.
        BrokerUnavailable: the broker does not answer; nothing was changed, or what was changed stays so.
    """
    actor.require(permissions.FORGET_ORG)
    if not NAME.fullmatch(org):
        raise InvalidOrg(org)
    if org == config().default_org:
        raise OrgRefused(f"{org} is the default org: all jobs that name no other one belong to it.")
    stage, number = _place(after)
    mask = Mask(org)
    done = Forgotten(mask.word, dry_run)
    ends = time.monotonic() + seconds if seconds is not None else None
    with broker.store() as store:
        entry = None if dry_run else audit.record(actor, "forget", f"org {mask.word}")
        for field, count, at in _steps(store, org, mask, dry_run, stage, number):
            setattr(done, field, getattr(done, field) + count)
            if entry is not None and field != "running":
                audit.add(entry, count)
            if progress is not None:
                progress(field, getattr(done, field))
            # A step of the first stage that did nothing would be the first one again.
            if ends is not None and time.monotonic() > ends and (count or at != "jobs"):
                done.after = at
                break
    if entry is not None:
        _tell(entry, done)
    return done


def _tell(entry: AuditEntry, done: Forgotten) -> None:
    told = {name: number for name, number in done.counts.items() if number}
    AuditEntry.objects.filter(pk=entry.pk).update(parameters=told)


def _place(after: str) -> tuple[str, int]:
    """The stage and the id after which a call goes on."""
    found = _AFTER.fullmatch(after)
    if found is None:
        raise InvalidCursor()
    return found["later"] or "jobs", int(found["last"] or 0)


def _steps(
    store: Store, org: str, mask: Mask, dry_run: bool, stage: str, number: int
) -> Iterator[tuple[str, int, str]]:
    """Yield what was done, how often, and where to go on after it."""
    if stage == "jobs":
        for field, count in (_counted if dry_run else _done)(store, org, mask):
            yield field, count, "jobs"
        stage = "results"
    if stage == "results":
        for last, count in forgotten_names.results(mask, number, change=not dry_run):
            yield "results_masked", count, f"results:{last}"
        number = 0
    for last, count in forgotten_names.entries(mask, number, change=not dry_run):
        yield "entries_masked", count, f"entries:{last}"


def _counted(store: Store, org: str, mask: Mask) -> Iterator[tuple[str, int]]:
    yield "cancelled", OutboxEntry.objects.filter(org=org).count()
    for queue in known_queues(store, None):
        picture = store.org_snapshot(queue, org)
        yield "cancelled", picture.ready + picture.scheduled + len(store.set_aside(queue, org))
        yield "lines_masked", sum(store.mask_org(queue, org, ""))
    yield "stopped", len(_leased(store, org))
    yield "letters_purged", DeadLetter.objects.filter(org=org).count()
    yield "limits_removed", OrgLimit.objects.filter(org=org).count()
    yield "schedules_disabled", len(_schedules(org))


def _done(store: Store, org: str, mask: Mask) -> Iterator[tuple[str, int]]:
    # First what would make more jobs.
    yield "schedules_disabled", sum(_disable(model) for model in _schedules(org))
    yield "cancelled", OutboxEntry.objects.filter(org=org).delete()[0]
    yield from _cancelled(store, org)
    collect_all(store)
    yield from _purged(store, org)
    rows = list(OrgLimit.objects.filter(org=org))
    for row in rows:
        row.delete()  # one by one: each is published
    yield "limits_removed", len(rows)
    for queue in known_queues(store, None):
        for count in store.mask_org(queue, org, mask.word):
            yield "lines_masked", count


def _cancelled(store: Store, org: str) -> Iterator[tuple[str, int]]:
    told: set[str] = set()
    for _ in range(ROUNDS):
        found = 0
        for queue in known_queues(store, None):
            for count in store.purge_steps(queue, org):
                found += count
                yield "cancelled", count
            aside = cancel_all(store, store.set_aside(queue, org)).count
            found += aside
            yield "cancelled", aside
        running = [task_id for task_id in _leased(store, org) if task_id not in told]
        told.update(running)
        yield "stopped", cancel_all(store, running).count
        left = _wait_for_ends(store, org)
        if not found and not running:
            break
    yield "running", left


def _leased(store: Store, org: str) -> list[str]:
    rows, _ = store.job_page(state="leased", org=org)
    return [row.task_id for row in rows]


def _wait_for_ends(store: Store, org: str) -> int:
    ends = time.monotonic() + STOP_SECONDS
    while left := len(_leased(store, org)):
        if time.monotonic() > ends:
            return left
        time.sleep(0.1)
    return 0


def _purged(store: Store, org: str) -> Iterator[tuple[str, int]]:
    known = Graves(store)
    for ids, _ in pages(DeadLetter.objects.filter(org=org)):
        with transaction.atomic():
            count = delete_letters(ids, known)
        yield "letters_purged", count


def _schedules(org: str) -> list[Any]:
    if not apps.is_installed("django_celery_beat"):
        return []
    from queueops.ops.schedule_entry import own_options

    model = apps.get_model("django_celery_beat", "PeriodicTask")
    rows = model._default_manager.filter(enabled=True, headers__contains=org)
    return [row for row in rows if own_options(row.headers).get("org") == org]


def _disable(row: Any) -> int:
    row.enabled = False
    row.save()  # by itself: beat learns of it by the signal
    return 1
