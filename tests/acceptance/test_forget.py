"""An org is off-boarded beside real workers, on PostgreSQL."""

from __future__ import annotations

from tests.support.project import Project

CODE = """
from dataclasses import asdict
from queueops.models import AuditEntry, DeadLetter
from queueops.ops import audit, orgs, status
from queueops.ops.permissions import Actor
from tests.support import letters

me = Actor.shell("maria")
for number in range(3):
    letters.row(org="gone", queue="standard").save()
    letters.row(org="stays", queue="bulk").save()
audit.record(me, "note", "org gone in bulk", {"filter": {"org": "gone"}, "queue": "gone"})
before = status.status(me)
done = asdict(orgs.forget(me, "gone"))
note = AuditEntry.objects.get(verb="note")
answer = {
    "done": done,
    "letters": [before.total.dead_letters_total, status.status(me).total.dead_letters_total],
    "running": before.total.running,
    "note": [note.target, note.parameters],
}
"""


def test_its_runs_are_stopped_and_the_others_go_on(postgres_project: Project) -> None:
    stack = postgres_project.stack
    postgres_project.worker(pool="prefork", concurrency=1)
    stack.enqueue("run", "long", 600, org="gone")
    stack.wait_started("long")
    stack.enqueue("run", "never", org="gone")
    stack.enqueue("run", "next", org="stays")

    told = postgres_project.python(CODE)

    done = told["done"]
    assert (done["cancelled"], done["stopped"], done["running"]) == (1, 1, 0)
    assert (done["letters_purged"], done["entries_masked"]) == (3, 1)
    assert (told["letters"], told["running"]) == ([6, 3], 1)
    word = done["name"]
    assert told["note"] == [f"org {word} in bulk", {"filter": {"org": word}, "queue": "gone"}]
    stack.wait_ended("next", within=15)
    stack.wait_empty()
    assert stack.ledger.starts("never") == 0
