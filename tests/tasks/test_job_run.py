"""The job of a webhook in a real worker: what dies at once, and what an edited replay sends."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tasks.demo.stack import own_stack
from tests.support.worker import ROOT, environment

# Runs in the project's own process beside the stack's worker, as a shell of an operator would.
SCRIPT = """
import django, json
django.setup()
from queueops.models import DeadLetter
from queueops.ops import dead_letters
from queueops.ops.permissions import Actor
from tasks import webhooks
from tasks.models import Delivery, Endpoint
from tasks.signing import verify
from tests.support.polling import eventually
from tests.tasks.receiver import Receiver, answer

with Receiver(answer(410, b"moved away")) as receiver:
    endpoint = Endpoint.objects.create(org="acme", url=receiver.url, allow_private=True)
    (task_id,) = webhooks.send("acme", "invoice.paid", {"invoice": 17}, event_id="event-1")
    eventually(lambda: DeadLetter.objects.filter(task_id=task_id).exists(), within=60)
    letter = DeadLetter.objects.get(task_id=task_id)
    told = {
        "letter": [letter.org, letter.queue, letter.reason, letter.error_class, letter.attempt_count],
        "requests": len(receiver.requests),
    }

    receiver.handle = answer(200)
    kwargs = {**letter.kwargs, "payload": {"invoice": 18}}
    told["replayed"] = dead_letters.edit_and_replay(Actor.shell("tester"), letter.pk, ([], kwargs)).count
    eventually(lambda: Delivery.objects.filter(outcome="delivered").exists(), within=60)
    last = receiver.requests[-1]
    told["body"] = json.loads(last.body)
    told["event"] = verify(endpoint.secret, last.headers, last.body)
    told["attempt"] = last.headers["webhook-attempt"]
    delivery = Delivery.objects.get()
    told["delivery"] = [delivery.outcome, delivery.attempts, delivery.status]
print(json.dumps(told))
"""


@pytest.mark.timeout(300)
def test_a_permanent_answer_dies_at_once_and_an_edited_replay_is_signed_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = environment({"SECRET_KEY": "tests"})
    for name in set(os.environ) - set(own):
        monkeypatch.delenv(name)
    for name, value in own.items():
        monkeypatch.setenv(name, value)

    with own_stack() as stack:
        settings = {**stack, "DJANGO_SETTINGS_MODULE": "config.settings"}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=ROOT,
            env=settings,
            capture_output=True,
            text=True,
            timeout=200,
        )

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "letter": ["acme", "webhooks", "failed", "PermanentFailure", 1],
        "requests": 1,
        "replayed": 1,
        "body": {"invoice": 18},
        "event": "event-1",
        "attempt": "1",
        "delivery": ["delivered", 2, 200],
    }
