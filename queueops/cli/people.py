"""Who acts at a command line."""

from __future__ import annotations

import getpass
import os

from queueops.cli.failures import Refused
from queueops.models import AuditEntry
from queueops.ops.permissions import Actor

__all__ = ["actor"]


def actor(user: str = "") -> Actor:
    """Return who acts: an account with its permissions, or ("") the shell's user, who needs none.

    Raises:
        Refused: no account has this name, or it is switched off.
    """
    if not user:
        return Actor.shell(_shell_user())
    from django.contrib.auth import get_user_model

    model = get_user_model()
    account = model._default_manager.filter(**{model.USERNAME_FIELD: user}).first()
    if account is None:
        raise Refused(f"No account is called {user!r}. `manage.py createsuperuser` or admin makes one.", 3)
    if not account.is_active:
        raise Refused(f"The account {user!r} is switched off.", 5)
    return Actor.of(account, AuditEntry.Surface.CLI)


def _shell_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"  # in a container that has no such account
