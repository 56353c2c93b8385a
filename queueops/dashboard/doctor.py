"""The doctor's findings, and the button that mends them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from queueops.dashboard.actions import Unchanged, action
from queueops.dashboard.fields import Nothing
from queueops.dashboard.page import Page, page
from queueops.ops import doctor as verbs
from queueops.ops import permissions
from queueops.ops.permissions import Actor

__all__ = ["doctor"]


def _doctor(request: HttpRequest, actor: Actor) -> Page:
    # It looks at thousands of things: once, when somebody asks, and not again every few seconds.
    return Page("doctor.html", "Doctor", {"report": verbs.examine(actor)}, "doctor", live=False)


doctor = page(_doctor)


@action(
    "Repair",
    permissions.REPAIR,
    Nothing,
    explained="Mends what can be mended, then looks again. A job that has lost its place is put back into "
    "its lane; one that must not run twice becomes a dead letter.",
)
def repair(actor: Actor, data: Mapping[str, Any]) -> str:
    """What the doctor found is mended."""
    done = verbs.repair(actor)
    before, after = len(done.before.findings), len(done.after.findings)
    if not before:
        return Unchanged("Nothing was wrong.")
    left = f" {after:,} {'is' if after == 1 else 'are'} left for a person." if after else ""
    told = f"{before - after:,} of {before:,} findings mended.{left}"
    return told if after < before else Unchanged(told)
