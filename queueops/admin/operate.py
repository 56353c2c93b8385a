"""The pages on which a person confirms a verb on dead letters, and sees how far it has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from queueops.admin.selection import Selection
from queueops.conf import config
from queueops.errors import BrokerUnavailable, QueueOpsError
from queueops.models import AuditEntry, DeadLetter
from queueops.models.querysets import BOUND, bounded_count
from queueops.ops import dead_letters, permissions
from queueops.ops.batches import Cursor
from queueops.ops.dead_letters import Done
from queueops.ops.graves import Children
from queueops.ops.permissions import Actor

if TYPE_CHECKING:
    Base = ModelAdmin[DeadLetter]
else:
    Base = object

__all__ = ["VERBS", "OperateMixin", "Verb"]

#: Seconds that one request works; then the page shows the progress and asks for the next piece.
PIECE_SECONDS = 5.0
_LISTED = 10


@dataclass(frozen=True, slots=True)
class Verb:
    """How a verb is offered."""

    name: str
    permission: str
    past: str
    explained: str
    dangerous: bool = False


VERBS = {
    verb.name: verb
    for verb in (
        Verb(
            "replay",
            permissions.REPLAY,
            "replayed",
            "Each becomes a job again: same task, same arguments, no attempts behind it.",
        ),
        Verb(
            "discard",
            permissions.DISCARD,
            "discarded",
            "They are closed and will not run. The rows stay until they are purged.",
        ),
        Verb(
            "purge",
            permissions.PURGE,
            "purged",
            "The rows are deleted with their messages. Nobody can bring them back.",
            dangerous=True,
        ),
    )
}


#: What the form may say of the jobs that wait for a discarded one.
CHILDREN: dict[str, Children] = {"keep": "keep", "release": "release", "cancel": "cancel"}


class OperateMixin(Base):
    """Views of DeadLetterAdmin; `operate_view` is at <list>/operate/<verb>/."""

    def operate_view(self, request: HttpRequest, verb: str) -> HttpResponse:
        """Ask (GET), then act in pieces (POST)."""
        if verb not in VERBS:
            raise Http404(f"There is no verb {verb}.")
        actor = Actor.of(request.user, AuditEntry.Surface.ADMIN)
        actor.require(VERBS[verb].permission)
        if request.method == "POST":
            selection = Selection.read(self, request, request.POST, request.POST.get("until", ""))
            return self._act(request, VERBS[verb], selection)
        selection = Selection.read(self, request, request.GET, timezone.now().isoformat())
        return self._ask(request, VERBS[verb], selection)

    def _ask(self, request: HttpRequest, verb: Verb, selection: Selection) -> HttpResponse:
        letters = selection.letters
        concerned = letters if verb.name == "purge" else letters.parked()
        count = bounded_count(concerned)
        young = (
            bounded_count(letters.died_since(dead_letters.retention_limit())) if verb.name == "purge" else 0
        )
        context = {
            "verb": verb,
            "selection": selection,
            "count": min(count, BOUND),
            "is_more": count > BOUND,
            "left_out": len(selection.ids) - count if selection.ids else 0,
            "first": concerned.order_by("-died_at", "-id").defer("message", "args", "kwargs", "traceback")[
                :_LISTED
            ],
            "unlisted": max(min(count, BOUND) - _LISTED, 0),
            "young": min(young, BOUND),
            "young_is_more": young > BOUND,
            "retention_days": config().dead_letter_retention_days,
            "title": f"{verb.name.capitalize()} dead letters",
        }
        return self._page(request, "operate.html", selection, context)

    def _act(self, request: HttpRequest, verb: Verb, selection: Selection) -> HttpResponse:
        try:
            after = Cursor.parse(request.POST.get("after", ""))
            before = int(request.POST.get("done", "0"))
        except ValueError as error:
            raise BadRequest("after and done come from this page's own form") from error
        try:
            done = self._done(request, verb, selection, after)
        except BrokerUnavailable as error:
            messages.error(request, f"{error} Nothing more was {verb.past}; the letters stay as they are.")
            return self._back(selection)
        except QueueOpsError as error:
            messages.error(request, str(error))
            return self._back(selection)
        total = before + done.count
        if done.after is not None and not done.stopped:
            context = {
                "verb": verb,
                "selection": selection,
                "total": total,
                "after": done.after,
                "force": request.POST.get("force", ""),
                "children": request.POST.get("children", ""),
                "title": f"{total:,} letters {verb.past} so far",
            }
            return self._page(request, "progress.html", selection, context)
        self._tell(request, verb, selection, done, total)
        return self._back(selection)

    def _done(self, request: HttpRequest, verb: Verb, selection: Selection, after: Cursor | None) -> Done:
        actor = Actor.of(request.user, AuditEntry.Surface.ADMIN)
        letters, told = selection.letters, selection.described
        if verb.name == "replay" and selection.ids:
            return dead_letters.replay(actor, selection.ids)
        if verb.name == "replay":
            return dead_letters.replay_matching(actor, letters, told, after=after, seconds=PIECE_SECONDS)
        if verb.name == "discard":
            children = CHILDREN.get(request.POST.get("children", ""))
            return dead_letters.discard(
                actor, letters, told, children=children, after=after, seconds=PIECE_SECONDS
            )
        force = bool(request.POST.get("force"))
        return dead_letters.purge(actor, letters, told, force=force, after=after, seconds=PIECE_SECONDS)

    def _tell(self, request: HttpRequest, verb: Verb, selection: Selection, done: Done, total: int) -> None:
        level = messages.success if total else messages.warning
        told = f"{total:,} letter{'' if total == 1 else 's'} {verb.past}."
        left_out = len(selection.ids) - total - done.refused if selection.ids else 0
        if left_out > 0:
            told += f" {left_out:,} had been replayed, discarded or purged before."
        if done.alone:
            told += f" {done.alone:,} belonged to a chord, which failed when they died: they run alone."
        level(request, told)
        for refusal in done.refusals:
            messages.warning(
                request, f"Letter {refusal.letter} was refused and stays parked: {refusal.reason}"
            )
        if done.refused > len(done.refusals):
            messages.warning(request, f"{done.refused - len(done.refusals):,} more were refused.")
        if done.stopped:
            messages.error(
                request, f"It stopped there: {done.stopped} The rest stays parked; begin again later."
            )

    def _back(self, selection: Selection) -> HttpResponse:
        """The letter itself, if it is one and still there; else the list as it was."""
        if len(selection.ids) == 1 and not selection.query and selection.letters.exists():
            return HttpResponseRedirect(self.url("change", selection.ids[0]))
        return HttpResponseRedirect(
            self.url("changelist") + (f"?{selection.query}" if selection.query else "")
        )

    def _page(
        self, request: HttpRequest, name: str, selection: Selection, context: dict[str, Any]
    ) -> HttpResponse:
        return self.page(request, name, {**context, "back": self._back(selection).headers["Location"]})

    def page(self, request: HttpRequest, name: str, context: dict[str, Any]) -> TemplateResponse:
        """A page of admin with its frame."""
        frame = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
        return TemplateResponse(request, f"admin/queueops/deadletter/{name}", {**frame, **context})

    def url(self, name: str, *args: object) -> str:
        """The address of one of this model's pages."""
        path = f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}"
        return reverse(path, args=args, current_app=self.admin_site.name)
