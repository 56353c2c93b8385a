"""The outcome of a soak: one table for people, one document for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tests.soak.faults import Fault
from tests.soak.judge import Verdict

#: Offenders that are printed with their history; the document has all.
SHOWN = 20
ROWS = (
    "enqueued",
    "succeeded",
    "dead",
    "cancelled",
    "lost",
    "run twice",
    "ran though cancelled",
    "not confirmed",
)


def document(
    arm: str,
    verdict: Verdict,
    faults: Sequence[Fault],
    refusals: Mapping[str, int],
    complaints: Sequence[str],
    **facts: Any,
) -> dict[str, Any]:
    """Return everything that was found, fit for JSON."""
    kinds = Counter(str(fault.kind) for fault in faults)
    return {
        "arm": arm,
        **facts,
        "counts": {name: verdict.counts[name] for name in (*ROWS, "runs", "run twice that must not")},
        "twice": dict(verdict.twice),
        "faults": dict(kinds.most_common()),
        "timeline": [
            [round(fault.began, 2), round(fault.ended, 2), fault.kind, *fault.workers, fault.note[:60]]
            for fault in sorted(faults, key=lambda fault: fault.began)
        ],
        "refused publishes": dict(refusals),
        "problems": verdict.problems,
        "complaints": list(complaints),
        "ok": not verdict.problems and not complaints,
    }


def table(documents: Sequence[Mapping[str, Any]]) -> str:
    """Return the table with a column for each arm."""
    rows: list[tuple[str, list[str]]] = []
    for name in (*ROWS, "run twice that must not"):
        rows.append((name, [f"{document['counts'][name]:,}" for document in documents]))
        if name == "run twice":
            reasons = sorted({reason for document in documents for reason in document["twice"]})
            rows += [(f"  {r}", [f"{d['twice'].get(r, 0):,}" for d in documents]) for r in reasons]
    rows.append(("runs", [f"{document['counts']['runs']:,}" for document in documents]))
    rows.append(("faults", [f"{sum(document['faults'].values()):,}" for document in documents]))
    for kind in sorted({kind for document in documents for kind in document["faults"]}):
        rows.append((f"  {kind}", [f"{document['faults'].get(kind, 0):,}" for document in documents]))
    wide = max(len(name) for name, _ in rows)
    head = " " * wide + "".join(f"{document['arm']:>12}" for document in documents)
    return "\n".join(
        [head, *(f"{name:<{wide}}" + "".join(f"{cell:>12}" for cell in cells) for name, cells in rows)]
    )


def timeline(document: Mapping[str, Any]) -> str:
    """Return the faults as lines, in the order in which they began."""
    return "\n".join(
        f"  {began:.2f} to {ended:.2f} {' '.join(map(str, rest))}"
        for began, ended, *rest in document["timeline"]
    )


def complaints_of(document: Mapping[str, Any]) -> str:
    """Return what is wrong, with the histories of the first offenders."""
    told = [f"- {complaint}" for complaint in document["complaints"]]
    for job, history in list(document["problems"].items())[:SHOWN]:
        told += [f"- {job}", *(f"    {line}" for line in history)]
    if len(document["problems"]) > SHOWN:
        told.append(f"- and {len(document['problems']) - SHOWN} more")
    return "\n".join(told)
