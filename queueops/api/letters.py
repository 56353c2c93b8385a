"""Routes of dead letters: look, replay, discard, purge, export and import."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ninja import Query
from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from queueops.api.auth import Request
from queueops.api.download import Download
from queueops.api.fields import INTEGRAL, Body, Flag, IdPath, Ids, MaybeName, Moment, NameFilter, Text
from queueops.api.pages import Cursor, Limit, sliced
from queueops.api.routes import ADMIN, Routes
from queueops.api.shapes import page, shape
from queueops.engine.rules.states import LetterStatus, Reason
from queueops.ops import dead_letters, error_groups, guarded_replay, letter_files, letter_list
from queueops.ops.batches import Cursor as Place

routes = Routes("dead letters")

#: So long one request works; `next` of the answer goes on.
_WORK_SECONDS = 20.0


class LetterFilters(Body):
    """Which letters: those that fit all of these; what is left out is any."""

    queue: MaybeName = ""
    org: MaybeName = ""
    task: Text = ""
    task_id: Text = ""
    reason: Reason | Literal[""] = ""
    error: Text = Field("", description="Stands in the error's class, its message or the reason.")
    error_class: Text = ""
    fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{0,16}$", max_length=16)] = ""
    text: Text = Field("", description="Words of a search.")
    status: LetterStatus | Literal["all"] = LetterStatus.PARKED
    died_since: Moment | None = None
    died_before: Moment | None = None


class LettersChosen(LetterFilters):
    """Which letters. At least one field says so, be it `{"status": "parked"}` for all that are parked."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})

    letters: Ids | None = None

    @model_validator(mode="after")
    def _says_something(self) -> LettersChosen:
        if not self.model_fields_set:
            raise PydanticCustomError("empty", 'Say which letters; {"status": "parked"} is all')
        return self

    def matching(self) -> tuple[Any, dict[str, Any]]:
        """The letters, and what was asked for in words."""
        return letter_list.matching(**self.dict())


Canaries = Annotated[int, Field(strict=True, ge=0, le=10_000), INTEGRAL]
Share = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1)]
PerSecond = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, le=100_000)]
Ended = Annotated[int, Field(strict=True, ge=1, le=100_000), INTEGRAL]


class LettersMany(Body):
    """Letters that something is done to, and where an earlier request has stopped."""

    filter: LettersChosen
    after: Text | None = Field(None, description="`next` of the answer before.")

    @property
    def place(self) -> Place | None:
        """Where to go on."""
        return Place.parse(self.after or "")


class Guard(LettersMany):
    """A replay that stops by itself when too many of its jobs die again."""

    canary: Canaries = 0
    rate: PerSecond | None = Field(None, description="Letters a second.")
    stop_share: Share = 0.5
    min_ended: Ended = 10


class Discarding(LettersMany):
    """What becomes of jobs that wait for these letters' jobs; null: such letters are refused."""

    children: Literal["keep", "release", "cancel"] | None = None


class Purging(LettersMany):
    """Whether letters go that are younger than the retention."""

    force: Flag = False


class Edited(Body):
    """Other arguments for a job, in place of the letter's own; a mask in them means the value it hides."""

    args: list[Any]
    kwargs: dict[str, Any]


class Lines(Body):
    """Letters as export has written them, a line each."""

    lines: Annotated[list[str], Field(min_length=1, max_length=1_000)]


class Done(shape(dead_letters.Done, name="LettersDone", leave_out=["after"])):  # type: ignore[misc]
    """What was done, and `next`: give it as `after` to go on; null is the end."""

    next: str | None


def _told(done: dead_letters.Done) -> dict[str, Any]:
    told = {name: getattr(done, name) for name in Done.model_fields if name != "next"}
    return {**told, "next": str(done.after) if done.after else None}


@routes.get("dead-letters", page(shape(letter_list.LetterRow)))
def listed(request: Request, filters: Query[LetterFilters], cursor: Cursor = "", limit: Limit = 100) -> Any:
    """List dead letters, newest first."""
    found = letter_list.listed(request.auth.actor, before=cursor or None, limit=limit, **filters.dict())
    return {"items": found.letters, "next": found.next_cursor}


@routes.get("dead-letters/groups", page(shape(error_groups.Group, name="LetterGroup")))
def groups(
    request: Request,
    queue: NameFilter = "",
    org: NameFilter = "",
    hours: Annotated[int, Query(ge=1, le=error_groups.MOST_HOURS)] = 24,
    cursor: Cursor = "",
    limit: Limit = 50,
) -> Any:
    """Group parked letters by their error, with a trend by the hour; the most frequent first."""
    actor = request.auth.actor
    return sliced(
        lambda most: error_groups.groups(actor, queue=queue, org=org, hours=hours, limit=most), cursor, limit
    )


@routes.get(
    "dead-letters/export",
    None,
    ADMIN,
    openapi_extra={"responses": {200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}}},
)
def export(request: Request, filters: Query[LetterFilters]) -> Any:
    """Export letters as JSON lines, with their whole messages, nothing masked."""
    file = letter_files.exported(request.auth.actor, *letter_list.matching(**filters.dict()))
    return Download(file, letter_files.FILE_NAME, letter_files.MEDIA_TYPE).response(request)


@routes.post("dead-letters/import", shape(letter_files.Imported), ADMIN)
def import_lines(request: Request, body: Lines) -> Any:
    """Import letters from JSON lines; those that are there already are left alone."""
    return letter_files.import_lines(request.auth.actor, body.lines)


@routes.post("dead-letters/replay", Done)
def replay(request: Request, body: LettersMany) -> Any:
    """Make jobs of the parked letters, the oldest first."""
    actor, chosen = request.auth.actor, body.filter
    if chosen.model_fields_set == {"letters"}:
        return _told(dead_letters.replay(actor, chosen.letters or ()))
    done = dead_letters.replay_matching(actor, *chosen.matching(), after=body.place, seconds=_WORK_SECONDS)
    return _told(done)


@routes.post("dead-letters/replay-guarded", shape(guarded_replay.Guarded))
def replay_guarded(request: Request, body: Guard) -> Any:
    """Replay some letters first and the rest at a rate; stop when too many of their jobs die again.

    Works for 20 seconds; `after` of the answer goes on, null is the end.
    """
    return guarded_replay.replay_guarded(
        request.auth.actor,
        *body.filter.matching(),
        canary=body.canary,
        rate=body.rate,
        stop_share=body.stop_share,
        min_ended=body.min_ended,
        seconds=_WORK_SECONDS,
        after=body.after,
    )


@routes.post("dead-letters/discard", Done)
def discard(request: Request, body: Discarding) -> Any:
    """Close parked letters; their rows stay until they are purged."""
    return _told(
        dead_letters.discard(
            request.auth.actor,
            *body.filter.matching(),
            children=body.children,
            after=body.place,
            seconds=_WORK_SECONDS,
        )
    )


@routes.post("dead-letters/purge", Done, ADMIN)
def purge(request: Request, body: Purging) -> Any:
    """Delete letters for good. With `"status": "all"` also those that were replayed or discarded."""
    return _told(
        dead_letters.purge(
            request.auth.actor,
            *body.filter.matching(),
            force=body.force,
            after=body.place,
            seconds=_WORK_SECONDS,
        )
    )


@routes.get("dead-letters/{int:letter}", shape(letter_list.LetterDetail))
def shown(request: Request, letter: IdPath) -> Any:
    """Tell all that is known of a letter; its payload for who may see payloads, with secrets masked."""
    return letter_list.shown(request.auth.actor, letter)


@routes.post("dead-letters/{int:letter}/edit-and-replay", Done)
def edit_and_replay(request: Request, letter: IdPath, body: Edited) -> Any:
    """Make a job of a letter with other arguments; the letter keeps its own."""
    return _told(dead_letters.edit_and_replay(request.auth.actor, letter, (body.args, body.kwargs)))
