"""What the page of one dead letter shows, and to whom."""

from __future__ import annotations

from typing import Any

from queueops.admin import pretty
from queueops.engine.rules.states import LetterStatus
from queueops.models import DeadLetter
from queueops.models.querysets import bounded_count
from queueops.ops import permissions
from queueops.ops.letter_payload import payload_of
from queueops.ops.masking import mask_text

__all__ = ["HEAVY", "letter_context"]

#: Columns with whole payloads, which no list shows.
HEAVY = ("message", "args", "kwargs", "traceback", "attempts")

_LINE = 50


def letter_context(letter: DeadLetter, user: Any) -> dict[str, Any]:
    """The page's context: the payload only for who may see it, the verbs only for who may use them."""
    parked = letter.status == LetterStatus.PARKED
    has_line = bool(letter.replay_number) or letter.status == LetterStatus.REPLAYED
    edits = (permissions.EDIT, permissions.REPLAY, permissions.VIEW_PAYLOAD)
    context: dict[str, Any] = {
        "letter": letter,
        "title": letter.task or "Unreadable message",
        "died": pretty.ago(letter.died_at),
        "history": pretty.history(letter),
        "traceback": pretty.traceback(letter.traceback),
        "told": mask_text(letter.error_message),
        "line": list(DeadLetter.objects.line_of(letter).defer(*HEAVY)[:_LINE]) if has_line else [],
        "alike": bounded_count(DeadLetter.objects.filter(fingerprint=letter.fingerprint), 999),
        "may_replay": parked and user.has_perm(permissions.REPLAY),
        "may_discard": parked and user.has_perm(permissions.DISCARD),
        "may_edit": parked and user.has_perms(edits),
        "may_purge": user.has_perm(permissions.PURGE),
        "may_see": user.has_perm(permissions.VIEW_PAYLOAD),
    }
    if context["may_see"]:
        context |= _payload(letter)
    return context


def _payload(letter: DeadLetter) -> dict[str, Any]:
    payload = payload_of(letter)
    if payload.unreadable:
        return {"unreadable": payload.unreadable, "raw": payload.raw}
    return {
        "args": pretty.json_text(payload.args) if payload.args else "",
        "kwargs": pretty.json_text(payload.kwargs) if payload.kwargs else "",
        "headers": pretty.json_text(payload.headers),
        "embed": pretty.json_text(payload.embed) if payload.embed else "",
        "in_chord": payload.in_chord,
    }
