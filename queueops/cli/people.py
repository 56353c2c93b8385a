"""Who acts at a command line."""

from __future__ import annotations

import getpass
import os
from typing import Any

from django.contrib.auth import get_user_model

from queueops.cli.failures import Refused
from queueops.models import AuditEntry
from queueops.ops.permissions import Actor

__all__ = ["account", "actor"]


def actor(user: str = "") -> Actor:
    """Return who acts: an account with its permissions, or ("") the shell's user, who needs none.

    Raises what `account` raises.
    """
    return Actor.of(account(user), AuditEntry.Surface.CLI) if user else Actor.shell(_shell_user())


def account(name: str) -> Any:
    """Return the account of that name.

    Raises:
        Refused: there is none, or it is switched off.
    """
    model = get_user_model()
    found = model._default_manager.filter(**{model.USERNAME_FIELD: name}).first()
    if found is None:
        raise Refused(f"No account is called {name!r}. `manage.py createsuperuser` or admin makes one.", 3)
    if not found.is_active:
        raise Refused(f"The account {name!r} is switched off.", 5)
    return found


def _shell_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"  # in a container that has no such account
