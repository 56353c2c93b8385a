"""The real GitHub events that the demonstration delivers."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.delivery import encode

DATA = Path(__file__).resolve().parent.parent / "data" / "github-webhooks.jsonl.gz"


@dataclass(frozen=True, slots=True)
class Event:
    """One event; *digest* is the SHA-256 of the body that has to arrive."""

    id: str
    org: str
    type: str
    payload: dict[str, Any]
    digest: str


def load_events(run: str) -> list[Event]:
    """Read all events in the file's order; *run* makes their ids differ from those of earlier runs."""
    with gzip.open(DATA, "rt", encoding="utf-8") as lines:
        return [_event(f"{run}-{number:03d}", json.loads(line)) for number, line in enumerate(lines, 1)]


def second_largest_org(events: Sequence[Event]) -> str:
    """Return the org with the second most events: its endpoint breaks for a while, and its breaker opens."""
    return Counter(event.org for event in events).most_common(2)[-1][0]


def largest_small_org(events: Sequence[Event]) -> str:
    """Return the org with the most events after the two that own most of them: its endpoint breaks for good.

    So the story has enough dead letters to look at, and the large orgs' traffic goes on beside it.
    """
    return Counter(event.org for event in events).most_common(3)[-1][0]


def _event(event_id: str, line: dict[str, Any]) -> Event:
    kind = f"{line['event']}.{line['action']}" if line["action"] else line["event"]
    digest = hashlib.sha256(encode(line["payload"])).hexdigest()
    return Event(event_id, line["org"], kind, line["payload"], digest)
