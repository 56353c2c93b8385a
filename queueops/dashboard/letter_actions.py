"""What a person does to dead letters: replay and discard, a whole group of them or one; export and import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from queueops.api.download import Download
from queueops.dashboard.actions import GoOn, Unchanged, action
from queueops.dashboard.fields import Target
from queueops.models.querysets import DeadLetterQuerySet
from queueops.ops import dead_letters, error_groups, guarded_replay, letter_files, permissions
from queueops.ops.dead_letters import Done
from queueops.ops.guarded_replay import Verdict
from queueops.ops.letter_filters import matching
from queueops.ops.permissions import Actor

__all__: list[str] = []

#: Seconds that a request works; the letters that are left stay parked, and the answer has a button that
#: goes on.
PIECE_SECONDS = 8.0
#: A canary's jobs have to end first; for those that take longer the answer has a button that goes on.
CANARY_SECONDS = 20.0
#: Lines of a file that a message says were refused.
_SHOWN_LINES = 3


class Group(forms.Form):
    """Which letters: those of one error, in one queue or in all."""

    fingerprint = Target()
    queue = Target(required=False)


class Canary(Group):
    """Which letters, and how many of them first."""

    canary = forms.IntegerField(
        min_value=1,
        max_value=100,
        initial=3,
        label="Letters to try first",
        help_text="The rest follows if they succeed.",
    )
    after = forms.CharField(required=False, widget=forms.HiddenInput)


class Letter(forms.Form):
    """Which letter."""

    letter = forms.IntegerField(widget=forms.HiddenInput)


class Shown(forms.Form):
    """Which letters: those that the page with these filters is about."""

    queue = Target(required=False)
    hours = forms.IntegerField(min_value=1, max_value=error_groups.MOST_HOURS, widget=forms.HiddenInput)


class Lines(forms.Form):
    """A file of letters."""

    file = forms.FileField(label="File", help_text="JSON lines, as an export has written them.")


def _matching(data: Mapping[str, Any]) -> tuple[DeadLetterQuerySet, dict[str, Any]]:
    found, described = matching(fingerprint=data["fingerprint"], queue=data["queue"], status="parked")
    return found, dict(described)


@action(
    "Replay all",
    permissions.REPLAY,
    Group,
    explained="Each parked letter of this error, older ones too, becomes a job again: same task, same "
    "arguments, no attempts behind it.",
)
def replay_group(actor: Actor, data: Mapping[str, Any]) -> str:
    """The letters of an error are jobs again."""
    found, described = _matching(data)
    done = dead_letters.replay_matching(actor, found, described, seconds=PIECE_SECONDS)
    return _told(done, "replayed")


@action(
    "Replay carefully",
    permissions.REPLAY,
    Canary,
    explained="A few letters go first. When they have ended well, the rest follows; it stops by itself when "
    "too many fail again.",
)
def replay_canary(actor: Actor, data: Mapping[str, Any]) -> str:
    """A few letters first, and the rest if they succeed."""
    found, described = _matching(data)
    done = guarded_replay.replay_guarded(
        actor,
        found,
        described,
        canary=data["canary"],
        seconds=CANARY_SECONDS,
        after=data["after"] or None,
    )
    told = (
        f"{_letters(done.count)} replayed. Of the first ones {done.canary_succeeded:,} succeeded and "
        f"{done.canary_failed:,} failed so far. {done.stopped}"
    ).strip()
    if done.after and done.verdict not in (Verdict.CANARY_FAILED, Verdict.FAILURES):
        return GoOn(told, after=done.after)
    return Unchanged(told) if done.stopped else told


@action(
    "Discard all",
    permissions.DISCARD,
    Group,
    explained="The parked letters of this error, older ones too, are closed and will not run. The rows "
    "stay until they are purged.",
    danger=True,
)
def discard_group(actor: Actor, data: Mapping[str, Any]) -> str:
    """The letters of an error are closed."""
    found, described = _matching(data)
    return _told(dead_letters.discard(actor, found, described, seconds=PIECE_SECONDS), "discarded")


@action("Replay", permissions.REPLAY, Letter)
def replay_letter(actor: Actor, data: Mapping[str, Any]) -> str:
    """The letter is a job again."""
    return _told(dead_letters.replay(actor, [data["letter"]]), "replayed")


@action(
    "Discard",
    permissions.DISCARD,
    Letter,
    explained="It is closed and will not run. The row stays until it is purged.",
    danger=True,
)
def discard_letter(actor: Actor, data: Mapping[str, Any]) -> str:
    """The letter is closed."""
    return _told(dead_letters.discard(actor, *matching(letters=[data["letter"]])), "discarded")


@action(
    "Export",
    permissions.EXPORT,
    Shown,
    also=(permissions.VIEW_PAYLOAD,),
    explained="A file of JSON lines with all parked letters that the filter above matches, whole: their "
    "arguments are in it with nothing masked.",
    downloads=True,
)
def export_letters(actor: Actor, data: Mapping[str, Any]) -> Download:
    """The letters leave as a file."""
    since = error_groups.since(data["hours"])
    found, described = matching(queue=data["queue"], status="parked", died_since=since)
    file = letter_files.exported(actor, found, described)
    return Download(file, letter_files.FILE_NAME, letter_files.MEDIA_TYPE)


@action(
    "Import",
    permissions.EXPORT,
    Lines,
    also=(permissions.ENQUEUE_JOB,),
    explained="Each letter of the file is written, and those that were parked can be replayed here. Letters "
    "that are here already stay as they are.",
)
def import_letters(actor: Actor, data: Mapping[str, Any]) -> str:
    """The letters of a file are here."""
    # The file itself: Django's own way to walk an upload glues a long line together piece by piece.
    done = letter_files.import_lines(actor, data["file"].file)
    told = f"{_letters(done.count)} imported; {done.known:,} were known, {done.refused:,} refused."
    told = " ".join([told, *(f"Line {one.line}: {one.reason}" for one in done.refusals[:_SHOWN_LINES])])
    return told if done.count and not done.refused else Unchanged(told)


def _told(done: Done, past: str) -> str:
    told = [f"{_letters(done.count)} {past}."]
    if done.alone:
        told.append(f"{done.alone:,} were members of chords and run alone.")
    if done.refused:
        told.append(f"{_letters(done.refused)} refused: {done.refusals[0].reason}")
    if done.stopped:
        told.append(f"It stopped there: {done.stopped}")
    elif done.after is not None:
        return GoOn(" ".join([*told, "More are parked."]))
    said = " ".join(told)
    return said if done.count and not done.refused and not done.stopped else Unchanged(said)


def _letters(number: int) -> str:
    return "1 letter" if number == 1 else f"{number:,} letters"
