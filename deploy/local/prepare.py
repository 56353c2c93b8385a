"""What the stack needs before it starts: tables, static files, somebody who can log in.

python -m deploy.local.prepare              does all that
python -m deploy.local.prepare password     sets a new password for the admin user and prints it
"""

from __future__ import annotations

import os
import secrets
import sys
from typing import TYPE_CHECKING

import django

if TYPE_CHECKING:
    from django.contrib.auth.models import User, UserManager


def prepare() -> str | None:
    """Migrate, collect static files and see to the admin user; answers the password if one was made up."""
    load_django()
    from django.conf import settings
    from django.core.management import call_command

    print("Preparing the database and the static files ...", flush=True)
    call_command("migrate", interactive=False, verbosity=0)
    if not settings.DEBUG:  # with DEBUG they are served from where they lie
        call_command("collectstatic", interactive=False, verbosity=0)
    return ensure_admin()


def ensure_admin() -> str | None:
    """Create the admin user when nobody can administer yet; answers the password if one was made up."""
    users = admin_users()
    if users.filter(is_superuser=True, is_active=True).exists():
        return None
    given = os.environ.get("ADMIN_PASSWORD")
    password = given or new_password()
    users.create_superuser(admin_name(), email="", password=password)
    return None if given else password


def set_password() -> tuple[str, str]:
    """Give the admin user the password from ADMIN_PASSWORD, or a new one; answers (user, password).

    Creates the user when there is none.
    """
    users = admin_users()
    password = os.environ.get("ADMIN_PASSWORD") or new_password()
    user = users.filter(username=admin_name()).first()
    if user is None:
        users.create_superuser(admin_name(), email="", password=password)
    else:
        user.set_password(password)
        user.save(update_fields=["password"])
    return admin_name(), password


def admin_name() -> str:
    return os.environ.get("ADMIN_USER") or "admin"


def new_password() -> str:
    return secrets.token_urlsafe(12)


def admin_users() -> UserManager[User]:
    """The rows of people; only the project's own user model, Django's, is meant."""
    from django.contrib.auth.models import User

    return User.objects


def load_django() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()


def main(argv: list[str]) -> int:
    if argv == ["password"]:
        load_django()
        from django.core.management import call_command

        call_command("migrate", interactive=False, verbosity=0)
        print("user {}, password {}".format(*set_password()))
        return 0
    if argv:
        print(__doc__, file=sys.stderr)
        return 2
    if password := prepare():
        print(f"user {admin_name()}, password {password}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
