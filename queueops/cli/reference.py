"""The page docs/cli.md, made of the commands by `python -m queueops.cli.reference`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from queueops.cli.failures import CODES
from queueops.cli.root import root

__all__ = ["leaves", "page"]

_HEAD = """# Command line

Made from the commands by `python -m queueops.cli.reference > docs/cli.md`.

```sh
python manage.py queueops queue status          # in a Django project
celery -A config queueops queue status          # where Celery is at hand
DJANGO_SETTINGS_MODULE=config.settings queueops queue status
```

All three are the same. Each command calls one verb of `queueops/ops/`, as admin and the REST API do: the
same permission, the same entry in the audit log.

- **JSON.** Every command takes `--json`; the names are those of the verb's answer, times are ISO 8601,
  lengths of time are seconds. With `--watch` it is one line each time. Errors are never on stdout.
- **Who acts.** Whoever has a shell on the machine needs no permission, and the audit log has their name.
  `--user maria` acts with the permissions of that account.
- **Lengths of time** have a unit: `10s`, `30m`, `24h`, `7d`, `1h30m`. Times are ISO 8601, local without a
  zone.
- **Asking.** What destroys something asks first; `--yes` does not ask, and where nobody could answer it is
  needed. `--dry-run` says what would be done.
- **Long output** goes through `$PAGER` on a terminal. Lists have `--limit`, and `--after` goes on where a
  page ended.
- **Colors** are for terminals, and not where `NO_COLOR` is set.
- **Completion.** `source <(queueops completion bash)` (or zsh, fish) in the shell's start file completes
  commands, options, and the names of queues, resources and workers.

A queue may be named as an argument or as `--queue`; an org too.

## Exit codes

| code | meaning |
|---|---|
"""

_TAIL = """
An error is one line on stderr that says what to do next; `--debug` shows where it happened.

## Options of all commands

- `--json`: Print JSON.
- `--user NAME`: Act with this account's permissions.
- `--debug`: Show the traceback of an error.
"""

_COMMON = frozenset({"as_json", "user", "debug"})


def leaves(
    group: click.Group = root, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that call it."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        elif command is not None:
            yield (*path, name), command


def page() -> str:
    """Return the page."""
    lines = [_HEAD.rstrip("\n")]
    lines += [f"| {code} | {told} |" for code, told in CODES.items()]
    lines.append(_TAIL.rstrip("\n"))
    group = ""
    for path, command in leaves():
        if path[0] != group:
            group = path[0]
            lines += ["", f"## {group}"]
            lines += ["", root.commands[group].help or ""] if len(path) > 1 else []
        lines += ["", *_section(path, command)]
    return "\n".join(lines) + "\n"


def _section(path: tuple[str, ...], command: click.Command) -> Iterator[str]:
    ctx = click.Context(command, info_name=f"queueops {' '.join(path)}")
    usage = " ".join((ctx.command_path, *command.collect_usage_pieces(ctx)))
    yield f"### `{usage}`"
    yield ""
    yield " ".join((command.help or "").replace("\b", "").split())
    told = [one for one in map(_option, command.params) if one]
    if told:
        yield ""
        yield from told


def _option(option: click.Parameter) -> str:
    if not isinstance(option, click.Option) or option.hidden or option.name in _COMMON:
        return ""
    record = option.get_help_record(click.Context(click.Command("")))
    if record is None:
        return ""
    names, told = record
    return f"- `{names}`: {' '.join(told.split())}"


if __name__ == "__main__":
    print(page(), end="")
