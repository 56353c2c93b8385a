"""What forms ask in the same words: which thing, how long, why, and "yes, really"."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from queueops.conf import config

__all__ = ["Call", "HowLong", "Nothing", "Sure", "Target", "ending", "told_until"]

_FOR = (
    ("15", "15 minutes"),
    ("60", "1 hour"),
    ("240", "4 hours"),
    ("1440", "a day"),
    ("10080", "a week"),
)


class Nothing(forms.Form):
    """Nothing is asked."""


class Target(forms.CharField):
    """What an action is done to: a hidden field that the page fills."""

    def __init__(self, *, required: bool = True, max_length: int = 255) -> None:
        super().__init__(required=required, max_length=max_length, widget=forms.HiddenInput)


class HowLong(forms.Form):
    """How long something holds, and why."""

    minutes = forms.TypedChoiceField(
        label="For",
        required=False,
        coerce=int,
        empty_value=None,
        choices=(("", "until ended by hand"), *_FOR),
    )
    reason = forms.CharField(
        required=False, max_length=200, help_text="Others read it beside what is closed."
    )


class Sure(forms.Form):
    """Asks to type the name of what will be gone. A subclass says in `named` which hidden field holds it."""

    named = ""
    sure = forms.CharField(label="Type its name to go on", required=True)

    def clean(self) -> dict[str, Any]:
        """Refuse another name."""
        data = super().clean() or {}
        if data.get("sure", "").strip() != data.get(self.named):
            raise forms.ValidationError("The name you typed is another one. Nothing was done.")
        return data


class Call(forms.Form):
    """A task and what it is called with."""

    task = forms.CharField(max_length=200, label="Task's whole name")
    args = forms.CharField(required=False, help_text="A JSON list.", initial="[]")
    kwargs = forms.CharField(required=False, help_text="A JSON object.", initial="{}")
    queue = forms.ChoiceField(required=False)
    org = forms.CharField(required=False, max_length=128)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["queue"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "as the task is routed"), *((name, name) for name in sorted(config().queues))]

    def clean_args(self) -> Any:
        """Read the list."""
        return self._json("args", list)

    def clean_kwargs(self) -> Any:
        """Read the object."""
        return self._json("kwargs", dict)

    def _json(self, name: str, kind: type) -> Any:
        text = self.cleaned_data[name].strip()
        try:
            found = json.loads(text) if text else kind()
        except ValueError as error:
            raise forms.ValidationError(f"This is not JSON: {error}") from error
        if not isinstance(found, kind):
            raise forms.ValidationError(f"This must be a JSON {'list' if kind is list else 'object'}.")
        return found


def ending(data: Mapping[str, Any]) -> datetime | None:
    """When what was asked for `minutes` ends by itself; None is never."""
    return timezone.now() + timedelta(minutes=data["minutes"]) if data.get("minutes") else None


def told_until(until: datetime | None) -> str:
    """That moment as it is told."""
    return f"until {timezone.localtime(until):%H:%M on %-d %B}" if until else "until it is ended by hand"
