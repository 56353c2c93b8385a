"""Arguments beside the broker: stored at the publish, read before the run, gone when nobody needs them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.test import override_settings

from queueops import Item, conf, enqueue_many
from queueops.engine.store import Store
from queueops.engine.types import Settlement
from queueops.errors import (
    ConfigurationError,
    InvalidMessage,
    NotReplicated,
    PayloadTooLarge,
    QueueFull,
)
from queueops.middleware import payloads
from queueops.middleware.fairness import Fairness
from queueops.models import DeadLetter
from queueops.ops import broker, dead_letters, messages
from queueops.ops.payloads import sweep
from queueops.ops.permissions import Actor
from tests.support import letters

ACTOR = Actor.shell("maria")
BIG = "x" * 300_000
FILES = "django.core.files.storage.FileSystemStorage"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the storage of this test keeps its files."""
    stored = {"aside": {"BACKEND": FILES, "OPTIONS": {"location": str(tmp_path)}}}
    with override_settings(STORAGES=stored, QUEUEOPS={"OFFLOAD_STORAGE": "aside"}):
        yield tmp_path
    conf.reset()


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


@pytest.fixture
def task(app: Celery) -> Any:
    @app.task(name="weigh", offload=True, shared=False)
    def weigh(text: str = "", n: Any = 0) -> int:
        return len(text)

    return weigh


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def age(folder: Path, hours: int = 3) -> None:
    """Make the stored files as old as if they had been saved so many hours ago."""
    hour = f"{datetime.now(UTC) - timedelta(hours=hours):%Y-%m-%dT%H}"
    for old in (folder / payloads.FOLDER).iterdir():
        old.rename(old.with_name(hour))


def swept(store: Store) -> int:
    """Sweep as if everything were old."""
    return sweep(store, youngest=timedelta(hours=-2))


def settle(store: Store, token: str) -> None:
    assert store.settle([Settlement(token, "succeeded")]) == ["settled"]


def test_only_what_would_not_fit_is_stored(folder: Path, store: Store, task: Any) -> None:
    task.delay("small")
    assert files(folder) == []
    assert messages.read(letters.claim(store).message).args == ["small"]
    result = task.delay(BIG, n=datetime(2030, 1, 1, tzinfo=UTC))
    [file] = files(folder)
    sent = messages.read(letters.claim(store).message)
    assert (sent.args, sent.kwargs) == ([], {})
    assert sent.own["offload"] == str(file.relative_to(folder))
    assert result.id in file.name
    assert payloads.load(sent.own["offload"]) == ([BIG], {"n": datetime(2030, 1, 1, tzinfo=UTC)})
    assert sent.headers["argsrepr"].startswith("('xxx")


def test_a_call_may_say_it_too_and_many_at_once(folder: Path, store: Store, app: Celery, task: Any) -> None:
    with pytest.raises(PayloadTooLarge):
        app.send_task("other", [BIG])
    app.send_task("other", [BIG], offload=True)
    with pytest.raises(PayloadTooLarge):
        task.apply_async((BIG,), offload=False)
    enqueue_many(task, [Item((BIG,)), Item(("small",)), Item((BIG,))])
    assert len(files(folder)) == 3
    assert store.queue_snapshot("standard").ready == 4


def test_what_the_broker_refuses_leaves_no_file(folder: Path, store: Store, task: Any) -> None:
    first = task.apply_async((BIG,), unique_key="a")
    assert task.apply_async((BIG,), unique_key="a").id == first.id
    with override_settings(QUEUEOPS={"OFFLOAD_STORAGE": "aside", "QUEUES": {"standard": {"max_ready": 1}}}):
        Fairness().publish(store)
        with pytest.raises(QueueFull):
            task.delay(BIG)
    assert len(files(folder)) == 1


def test_what_is_enqueued_in_spite_of_an_error_keeps_its_file(folder: Path, store: Store, task: Any) -> None:
    with pytest.raises(NotReplicated):
        task.apply_async((BIG,), durable=True)
    assert payloads.load(messages.read(letters.claim(store).message).own["offload"]) == ([BIG], {})


def test_a_task_id_that_can_name_no_file_and_a_storage_that_is_not_there(
    folder: Path, app: Celery, task: Any
) -> None:
    for name in ("a/b", "../up", "a b", "x" * 200):
        with pytest.raises(InvalidMessage, match="task id"):
            task.apply_async((BIG,), task_id=name)
    nowhere = override_settings(QUEUEOPS={"OFFLOAD_STORAGE": "nowhere"})
    with nowhere, pytest.raises(ConfigurationError, match="nowhere"):
        task.delay(BIG)
    assert files(folder) == []


def test_a_message_can_not_make_a_worker_read_or_delete_other_files(folder: Path) -> None:
    other = folder / "invoice.pdf"
    other.write_text("[[], {}]")
    for name in ("invoice.pdf", f"{payloads.FOLDER}/../../invoice.pdf", "", 7, None):
        with pytest.raises(InvalidMessage):
            payloads.load(name)  # type: ignore[arg-type]
        payloads.remove(name)  # type: ignore[arg-type]
    assert other.exists()


def test_a_replay_finds_its_arguments_and_other_ones_take_their_place(
    folder: Path, store: Store, task: Any
) -> None:
    task.delay(BIG)
    letters.die(store)
    dead_letters.collect(store)
    letter = DeadLetter.objects.get()
    assert swept(store) == 0, "a parked letter needs them"
    assert dead_letters.replay(ACTOR, [letter.pk]).count == 1
    assert swept(store) == 0, "its job needs them"
    job = letters.claim(store)
    assert payloads.load(messages.read(job.message).own["offload"]) == ([BIG], {})
    assert store.settle([letters.dead(job)]) == ["settled"]
    assert swept(store) == 0, "it is on its way to the database"
    dead_letters.collect(store)
    second = DeadLetter.objects.latest("pk")
    assert dead_letters.edit_and_replay(ACTOR, second.pk, (["other"], {})).count == 1
    job = letters.claim(store)
    edited = messages.read(job.message)
    assert (edited.args, "offload" in edited.own) == (["other"], False)
    settle(store, job.token)
    assert swept(store) == 1
    assert files(folder) == []


def test_the_sweep_deletes_what_nobody_needs_any_more(folder: Path, store: Store, task: Any) -> None:
    waits, cancelled = task.delay(BIG), task.delay(BIG)
    task.apply_async((BIG,), queue="bulk")
    letters.die(store, "bulk")
    dead_letters.collect(store)
    assert store.cancel(cancelled.id) == "cancelled"
    assert sweep(store) == 0, "young ones may belong to a publish that is under way"
    age(folder)
    assert sweep(store) == 1
    assert sorted(payloads.task_id_of(file.name) for file in files(folder)) == sorted(
        [waits.id, DeadLetter.objects.get().task_id]
    )
    dead_letters.discard(ACTOR, DeadLetter.objects.all(), {})
    assert sweep(store) == 1
    # Files of others in the folder are left alone, and empty folders go.
    other = files(folder)[0].with_name("notes.txt")
    other.write_text("mine")
    settle(store, letters.claim(store).token)
    assert sweep(store) == 1
    assert files(folder) == [other]
    other.unlink()
    assert sweep(store) == 0
    assert list((folder / payloads.FOLDER).iterdir()) == []


def test_a_job_in_the_outbox_keeps_its_arguments(folder: Path, store: Store, task: Any) -> None:
    from queueops.models import OutboxEntry

    entry = OutboxEntry(queue="standard", task=task.name, task_id="boxed", head={}, message="{}", org="a")
    payloads.save("boxed", json.dumps([[BIG], {}]))
    entry.save()
    assert swept(store) == 0
    entry.delete()
    assert swept(store) == 1
