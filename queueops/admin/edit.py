"""The page on which the arguments of a dead letter are edited, compared and replayed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect

from queueops.admin.operate import OperateMixin
from queueops.errors import BrokerUnavailable, PublishError, ReplayRefused
from queueops.models import AuditEntry, DeadLetter
from queueops.ops import dead_letters, editing, permissions
from queueops.ops.permissions import Actor

__all__ = ["EditMixin"]

if TYPE_CHECKING:
    Base = OperateMixin
else:
    Base = object


class EditMixin(Base):
    """View of DeadLetterAdmin at <letter>/edit/: write, see the difference, confirm."""

    def edit_view(self, request: HttpRequest, letter_id: int) -> HttpResponse:
        """GET shows the arguments; POST with step "review" the difference; with step "replay" it is done."""
        actor = Actor.of(request.user, AuditEntry.Surface.ADMIN)
        for permission in (permissions.EDIT, permissions.REPLAY, permissions.VIEW_PAYLOAD):
            actor.require(permission)
        letter = DeadLetter.objects.filter(pk=letter_id).first()
        if letter is None:
            raise Http404(f"There is no letter {letter_id}.")
        try:
            args, kwargs = editing.shown(letter)
        except ReplayRefused as refused:
            messages.error(request, str(refused))
            return self._to(letter)
        step = request.POST.get("step", "")
        if request.method != "POST" or step == "again":
            return self._form(
                request, letter, request.POST.get("args", args), request.POST.get("kwargs", kwargs)
            )
        args, kwargs = request.POST.get("args", ""), request.POST.get("kwargs", "")
        try:
            edit = editing.prepare(letter, args, kwargs)
            if step == "replay":
                done = dead_letters.edit_and_replay(actor, letter.pk, edit.arguments)
                alone = (
                    " It belonged to a chord, which failed when it died: it runs alone." if done.alone else ""
                )
                messages.success(
                    request, f"Letter {letter.pk} was replayed with the arguments you wrote.{alone}"
                )
                return self._to(letter)
        except BrokerUnavailable as error:
            messages.error(request, f"{error} Nothing was replayed; the letter stays parked.")
            return self._to(letter)
        except (ReplayRefused, PublishError) as refused:
            return self._form(request, letter, args, kwargs, str(refused))
        if not edit.changes_something:
            return self._form(
                request, letter, args, kwargs, "Nothing was changed. To replay it as it is, use Replay."
            )
        context = {
            "letter": letter,
            "args": args,
            "kwargs": kwargs,
            "lines": edit.lines,
            "title": "Replay with these changes?",
        }
        return self.page(request, "review.html", context)

    def _form(
        self, request: HttpRequest, letter: DeadLetter, args: str, kwargs: str, error: str = ""
    ) -> HttpResponse:
        context = {
            "letter": letter,
            "args": args,
            "kwargs": kwargs,
            "error": error,
            "title": "Edit and replay",
        }
        return self.page(request, "edit.html", context)

    def _to(self, letter: DeadLetter) -> HttpResponse:
        return HttpResponseRedirect(self.url("change", letter.pk))
