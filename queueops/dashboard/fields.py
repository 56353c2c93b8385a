"""What forms ask in the same words: which thing, how long, why, and "yes, really"."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone

__all__ = ["HowLong", "Nothing", "Sure", "Target", "ending", "told_until"]

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


def ending(data: Mapping[str, Any]) -> datetime | None:
    """When what was asked for `minutes` ends by itself; None is never."""
    return timezone.now() + timedelta(minutes=data["minutes"]) if data.get("minutes") else None


def told_until(until: datetime | None) -> str:
    """That moment as it is told."""
    return f"until {timezone.localtime(until):%H:%M on %-d %B}" if until else "until it is ended by hand"
