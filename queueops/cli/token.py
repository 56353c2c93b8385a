"""queueops token list, create, revoke."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import click

from queueops.cli import options, people, tables
from queueops.cli.verbs import Answer, Call, verbs
from queueops.models import ApiToken, Scope
from queueops.ops import tokens

commands = verbs()

_SHOWN: tuple[str, ...] = (
    "id",
    "name",
    "scope",
    "hint",
    "created_by",
    "created_at",
    "expires_at",
    "revoked_at",
    "last_used_at",
)


def _told(row: ApiToken) -> dict[str, Any]:
    """A row without the hash of its secret."""
    return {"user": row.user.get_username(), **{name: getattr(row, name) for name in _SHOWN}}


@commands.command("list")
@options.limit(100)
def list_(call: Call, limit: int) -> Answer:
    """List the tokens for the REST API, the newest first."""
    found = tokens.listed(call.actor, limit=limit)
    lines = tables.table(
        found,
        "id",
        ("user", lambda one: one.user.get_username()),
        "name",
        "scope",
        "hint",
        ("created", lambda one: tables.ago(one.created_at)),
        ("ends", lambda one: one.expires_at),
        ("revoked", lambda one: one.revoked_at),
        ("last used", lambda one: tables.ago(one.last_used_at)),
        empty="No token.",
    )
    return Answer([_told(one) for one in found], lines)


@commands.command()
@click.argument("account")
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice(Scope.values),
    default=Scope.READ.value,
    show_default=True,
    help="What it may do.",
)
@click.option("--for", "length", type=options.DURATION, help="It ends after this: 90d.")
@click.option("--until", "moment", type=options.MOMENT, help="It ends at this time.")
def create(
    call: Call, account: str, name: str, scope: str, length: timedelta | None, moment: datetime | None
) -> Answer:
    """Make a token for an account; NAME says what it is used for. The secret is shown once."""
    until = options.until(length, moment)
    made = tokens.create(call.actor, people.account(account), name, Scope(scope), expires_at=until)
    return Answer({**_told(made.row), "secret": made.secret}, [made.secret])


@commands.command(asks=True)
@click.argument("numbers", metavar="ID...", nargs=-1, type=int, required=True)
def revoke(call: Call, numbers: tuple[int, ...]) -> Answer:
    """End tokens at once."""
    call.confirm(f"Revoke {tables.plural(len(numbers), 'token')}?")
    count = tokens.revoke(call.actor, numbers)
    return Answer({"count": count}, [f"{tables.plural(count, 'token')} revoked."])
