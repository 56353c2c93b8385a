"""Puts a mask in the place of an org's name, in what the database keeps of the past."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import transaction
from django.db.models import Max, Min, Model, Q, QuerySet, TextField
from django.db.models.functions import Cast

from queueops.models import AuditEntry

__all__ = ["Mask", "entries", "results"]

#: Rows that one step looks at.
STEP = 2_000
#: Parameters that name something else than an org.
_OTHERS = ("queue", "resource", "task", "verb")
_RESULT_TEXTS = ("task_args", "task_kwargs", "result", "traceback", "meta")


@dataclass(frozen=True, slots=True)
class Mask:
    """An org's name and what stands for it: the same word each time, which nobody can read back."""

    org: str

    @property
    def word(self) -> str:
        """What stands where the name stood."""
        digest = hmac.new(settings.SECRET_KEY.encode(), self.org.encode(), hashlib.sha256).hexdigest()
        return f"forgotten-{digest[:12]}"

    def target(self, text: str) -> str:
        """The target of an audit entry ("org acme in bulk", "acme in all queues") without the name."""
        return re.sub(rf"(\borg |\A){re.escape(self.org)}(?= in |\Z)", rf"\g<1>{self.word}", text)

    def parameters(self, value: Any) -> Any:
        """Parameters of an audit entry without the name: what is the name, and "org NAME" within a text."""
        if isinstance(value, dict):
            return {
                self.parameters(key): item if key in _OTHERS else self.parameters(item)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.parameters(item) for item in value]
        if not isinstance(value, str):
            return value
        if value == self.org:
            return self.word
        return re.sub(rf"\borg {re.escape(self.org)}(?![\w@-]|\.\w)", f"org {self.word}", value)

    def quoted(self, text: str) -> str:
        """A text without the name where it stands as a string of its own, in whatever quotes."""
        return re.sub(rf"""(?<=['"]){re.escape(self.org)}(?=\\*['"])""", self.word, text)


def entries(mask: Mask, after: int = 0, *, change: bool = True) -> Iterator[tuple[int, int]]:
    """Mask the name in the audit log; yields the last id of each step and how many rows it changed.

    Args:
        after: the id to go on after.
        change: False only counts.
    """
    named = Q(target__contains=mask.org) | Q(told__contains=mask.org)
    rows = AuditEntry.objects.annotate(told=Cast("parameters", TextField())).filter(named)
    for last, step in _steps(AuditEntry, rows, after):
        count = 0
        with transaction.atomic():
            for entry in step:
                masked = mask.target(entry.target), mask.parameters(entry.parameters)
                if masked != (entry.target, entry.parameters):
                    count += 1
                    if change:
                        entry.target, entry.parameters = masked
                        entry.save(update_fields=["target", "parameters"])
        yield last, count


def results(mask: Mask, after: int = 0, *, change: bool = True) -> Iterator[tuple[int, int]]:
    """Mask the name in the results that the project keeps in its database; as `entries`."""
    if not apps.is_installed("django_celery_results"):
        return
    model = apps.get_model("django_celery_results", "TaskResult")
    named = Q()
    for column in _RESULT_TEXTS:
        named |= Q(**{f"{column}__contains": mask.org})
    for last, step in _steps(model, model._default_manager.filter(named), after):
        count = 0
        with transaction.atomic():
            for row in step:
                before: dict[str, Any] = {column: getattr(row, column) for column in _RESULT_TEXTS}
                masked = {name: mask.quoted(text) for name, text in before.items() if isinstance(text, str)}
                changed = {name: text for name, text in masked.items() if text != before[name]}
                count += bool(changed)
                if changed and change:
                    model._default_manager.filter(pk=row.pk).update(**changed)
        yield last, count


def _steps(model: type[Model], rows: QuerySet[Any], after: int) -> Iterator[tuple[int, QuerySet[Any]]]:
    # By ranges of ids: the texts have no index, and one look through all of them could take minutes.
    ends = model._default_manager.filter(pk__gt=after).aggregate(first=Min("pk"), last=Max("pk"))
    if ends["first"] is None:
        return
    for start in range(ends["first"], ends["last"] + 1, STEP):
        yield start + STEP - 1, rows.filter(pk__gte=start, pk__lt=start + STEP)
