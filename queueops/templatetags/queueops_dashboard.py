"""What the dashboard's templates draw with: buttons for those who may, numbers as people read them."""

from __future__ import annotations

import json
import re
from typing import Any

from django import template
from django.template.context import RequestContext

from queueops.admin.pretty import ago, json_text, moment, pill, short, task_name, traceback
from queueops.dashboard import drawing, words
from queueops.dashboard.actions import ACTIONS

register = template.Library()

for _filter in (ago, json_text, moment, short, task_name, traceback):
    register.filter(_filter.__name__, _filter)
for _name in words.FILTERS:
    register.filter(_name, getattr(words, _name))
register.simple_tag(drawing.bars, name="bars")
register.simple_tag(drawing.meter, name="meter")
register.simple_tag(pill, name="pill")


@register.inclusion_tag("queueops/dashboard/parts/action.html", takes_context=True)
def act(
    context: RequestContext, button: str, label: str = "", look: str = "", **target: Any
) -> dict[str, Any]:
    """The button of an action on `target`; nothing for who may not. `asked` draws what it asks, once a page.

    Args:
        button: the action's name.
        label: instead of the action's own.
        look: "plain" for one that does not call for attention.
    """
    action = ACTIONS[button]
    if not action.offered(context["actor"]):
        return {"action": None}
    if action.asks:
        # A list has a button in each row: a form in each would take longer to draw than all the rest.
        context["asked"][button] = action
    told = "-".join([button, *(str(value) for value in target.values())])
    return {
        "action": action,
        "label": label or action.label,
        "look": look,
        "key": re.sub(r"[^A-Za-z0-9_-]", "-", told),
        "target": target,
        "values": json.dumps(target),
        "here": context["here"],
        "csrf_token": context.get("csrf_token"),
    }


@register.inclusion_tag("queueops/dashboard/parts/asked.html", takes_context=True)
def asked(context: RequestContext) -> dict[str, Any]:
    """What the buttons of this page ask before anything is done: a form for each action."""
    actions = context["asked"].values()
    return {
        "asked": [(action, action.form(auto_id=f"{action.name}-%s")) for action in actions],
        "here": context["here"],
        "csrf_token": context.get("csrf_token"),
    }


@register.simple_tag(takes_context=True)
def may(context: RequestContext, permission: str) -> bool:
    """Whether the person has the permission of queueops."""
    return bool(context["actor"].may(f"queueops.{permission}"))


@register.inclusion_tag("queueops/dashboard/parts/chosen.html", takes_context=True)
def chosen(context: RequestContext, *names: str) -> dict[str, Any]:
    """Buttons for what is ticked in the list around them; those that the person may press."""
    actions = [ACTIONS[name] for name in names]
    return {"actions": [one for one in actions if one.offered(context["actor"])]}
