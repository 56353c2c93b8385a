"""What a person does to an org: limits for a time or until changed, pause, resume, forget."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone

from queueops.conf import config
from queueops.dashboard.actions import GoOn, Unchanged, action
from queueops.dashboard.fields import HowLong, Sure, Target, ending, told_until
from queueops.dashboard.words import words
from queueops.models import OrgLimit
from queueops.ops import limits, orgs, permissions
from queueops.ops.permissions import Actor

__all__: list[str] = []

#: Seconds that a request works on forgetting; the answer has a button that goes on.
PIECE_SECONDS = 8.0


class InQueue(forms.Form):
    """Of which org, in which queue."""

    org = Target(max_length=128)
    queue = forms.ChoiceField(required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["queue"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "each queue"), *((name, name) for name in sorted(config().queues))]


class Limits(InQueue):
    """Limits, how long they hold, and why. What stays empty is left as it is."""

    max_in_flight = forms.IntegerField(
        required=False, min_value=-1, label="At once", help_text="Jobs in flight; -1 is no limit."
    )
    rpm = forms.FloatField(
        required=False, min_value=-1, label="A minute", help_text="Jobs started; -1 is no limit."
    )
    burst = forms.IntegerField(
        required=False,
        min_value=1,
        label="Burst",
        help_text="Jobs that may start at once after a quiet time.",
    )
    weight = forms.FloatField(
        required=False, min_value=0, label="Weight", help_text="Share relative to others; 1 is usual."
    )
    minutes = HowLong.base_fields["minutes"]
    note = forms.CharField(required=False, max_length=200)


class Throttle(InQueue):
    """A lower cap, for a time."""

    max_in_flight = forms.IntegerField(min_value=0, label="At once", initial=1)
    minutes = forms.TypedChoiceField(
        label="For",
        coerce=int,
        choices=[one for one in HowLong.base_fields["minutes"].choices if one[0]],  # type: ignore[attr-defined]
    )
    note = forms.CharField(required=False, max_length=200)


class PauseOrg(HowLong, InQueue):
    """Which org, where, how long, why."""


class Forget(Sure):
    """Which org."""

    named = "org"
    org = Target(max_length=128)
    after = forms.CharField(required=False, widget=forms.HiddenInput)


@action(
    "Set limit",
    permissions.CHANGE_LIMIT,
    Limits,
    explained="With a time it stands above the org's other limits until then, and ends by itself.",
)
def set_limit(actor: Actor, data: Mapping[str, Any]) -> str:
    """The org's limits are changed."""
    values = {name: data[name] for name in OrgLimit.FIELDS if data.get(name) is not None}
    until = ending(data)
    row = limits.set_limit(actor, data["org"], data["queue"], values, valid_until=until, note=data["note"])
    said = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in values.items())
    return f"Limit of {row.org} in {row.queue or 'each queue'}: {said}, {told_until(until)}."


@action(
    "Throttle",
    permissions.CHANGE_LIMIT,
    Throttle,
    explained="Lowers how many jobs of the org run at once, for a time.",
)
def throttle(actor: Actor, data: Mapping[str, Any]) -> str:
    """The org's cap is lowered for a time."""
    until = timezone.now() + timedelta(minutes=data["minutes"])
    limits.throttle(actor, data["org"], data["queue"], data["max_in_flight"], until, data["note"])
    return (
        f"{data['org']} runs at most {data['max_in_flight']:,} at once in {data['queue'] or 'each queue'} "
        f"{told_until(until)}."
    )


@action(
    "Reset limit",
    permissions.RESET_LIMIT,
    InQueue,
    explained="Deletes the org's own limits there, temporary ones and pauses too, so that it has the default "
    "again.",
    danger=True,
)
def reset_limit(actor: Actor, data: Mapping[str, Any]) -> str:
    """The org has the default again."""
    number = limits.reset_limit(actor, data["org"], data["queue"] or None)
    where = data["queue"] or "each queue"
    if not number:
        return Unchanged(f"{data['org']} had no limit of its own for {where}.")
    return f"{data['org']} has the default in {where} again."


@action(
    "Pause",
    permissions.PAUSE_ORG,
    PauseOrg,
    explained="No job of the org starts; what runs goes on. Its waiting jobs keep their places.",
)
def pause_org(actor: Actor, data: Mapping[str, Any]) -> str:
    """The org is closed."""
    until = ending(data)
    orgs.pause(actor, data["org"], data["queue"], until=until, reason=data["reason"])
    return f"{data['org']} is paused in {data['queue'] or 'each queue'} {told_until(until)}."


@action("Resume", permissions.PAUSE_ORG, InQueue)
def resume_org(actor: Actor, data: Mapping[str, Any]) -> str:
    """The org is open."""
    where = data["queue"] or "each queue"
    if not orgs.resume(actor, data["org"], data["queue"]):
        told = f"{data['org']} was not paused for {where}."
        return Unchanged(f"{told} A pause is ended where it was set, in one queue or in each.")
    return f"{data['org']} is resumed in {where}."


@action(
    "Forget",
    permissions.FORGET_ORG,
    Forget,
    explained="For an org that has left: its jobs are cancelled, its dead letters purged, its limits "
    "removed, and its name is masked in results and in the audit log. Nobody can bring them back.",
    danger=True,
)
def forget_org(actor: Actor, data: Mapping[str, Any]) -> str:
    """All that the org has is gone."""
    done = orgs.forget(actor, data["org"], seconds=PIECE_SECONDS, after=data["after"])
    counted = ", ".join(f"{number:,} {words(name)}" for name, number in done.counts.items() if number)
    told = f"{data['org']} is forgotten, and is {done.name} from now on: {counted or 'it had nothing'}."
    if done.after:
        return GoOn(f"{told} More is left.", after=done.after)
    if done.running:
        return Unchanged(
            f"{told} {done.running:,} of its jobs still run: press it again when they have ended."
        )
    return told
