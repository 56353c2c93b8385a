"""The runs as the ledger has them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.ledger import Ledger


@dataclass
class Run:
    """One run of one attempt. Times are Unix seconds; ``outcome`` is "end", "error" or "" for a run whose
    end nobody saw; ``claimed`` is when the broker gave the job out, 0 where it does not say."""

    job: str
    attempt: int
    token: str
    worker: str
    pid: int
    began: float
    ended: float = 0.0
    outcome: str = ""
    claimed: float = 0.0

    def __str__(self) -> str:
        end = f"{self.outcome} after {self.ended - self.began:.2f} s" if self.outcome else "never ended"
        where = f"in {self.worker} pid {self.pid} token {self.token}"
        return f"{self.began:.2f} attempt {self.attempt} {where} claimed {self.claimed:.2f}: {end}"


def lines(ledger: Ledger) -> list[Mapping[str, Any]]:
    """Return what the runs wrote, in the order in which they wrote it."""
    return [json.loads(line) for line in ledger.client.lrange(f"{ledger.namespace}:runs", 0, -1)]


def runs_of(entries: Iterable[Mapping[str, Any]]) -> dict[str, list[Run]]:
    """Return the runs by job, each job's in the order of their starts."""
    runs: dict[str, list[Run]] = defaultdict(list)
    running: dict[tuple[Any, ...], Run] = {}
    for line in entries:
        key = (line["job"], line["attempt"], line["token"], line["worker"], line["pid"])
        if line["event"] == "start":
            running[key] = Run(*key, began=line["at"], claimed=line.get("claimed", 0.0))
            runs[line["job"]].append(running[key])
        elif key in running:
            run = running.pop(key)
            run.ended, run.outcome = line["at"], line["event"]
    return dict(runs)
