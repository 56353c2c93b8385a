"""Groups and commands as all of this command line has them: parse, call one operation, show its answer."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import click

from queueops.cli import django_setup, failures
from queueops.cli.terminal import is_terminal

if TYPE_CHECKING:
    from queueops.ops.permissions import Actor

__all__ = ["Answer", "Call", "Verb", "Verbs", "verbs"]

#: Words of other systems, and ours: in the same group, or with the group that has them here.
RENAMED = {
    "requeue": "replay",
    "retry": "replay",
    "stats": "status",
    "remove-stuck": "unstick",
    "revoke": "cancel",
    "delete": "discard",
    "enable": "on",
    "disable": "off",
    "run": "run-now",
    "queue retry": "dlq replay",
    "queue purge": "queue drain --remove",
    "queue org-stats": "org stats",
    "queue set-limit": "org set-limit",
    "queue reset-limit": "org reset-limit",
    "queue throttle-org": "org throttle",
    "worker add": "worker scale",
}


@dataclass(slots=True)
class Answer:
    """What a command has to say.

    Attributes:
        data: what --json prints: dataclasses, rows, or plain values; None where the command has written
            all there is.
        lines: the same for people.
        code: the exit code of the command.
    """

    data: Any
    lines: Sequence[str] = ()
    code: int = 0


@dataclass(slots=True)
class Call:
    """How a command was called, beside its own arguments."""

    as_json: bool = False
    user: str = ""
    yes: bool = False
    dry_run: bool = False

    @property
    def actor(self) -> Actor:
        """Who acts: the account named by --user, or whoever has this shell."""
        from queueops.cli.people import actor

        return actor(self.user)

    def confirm(self, question: str) -> None:
        """Ask before something is destroyed, unless --yes was given; a no ends the command."""
        if self.yes:
            return
        if self.as_json or not is_terminal("stdin"):
            raise click.UsageError(f"{question} Nobody is here to answer: say --yes, or look with --dry-run.")
        click.confirm(question, abort=True, err=True)

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """A bar on the terminal for long work; takes the number done so far. Elsewhere it shows nothing."""
        if self.as_json or not is_terminal("stderr"):
            yield lambda done: None
            return
        from queueops.cli.progress import bar

        with bar(what, total) as advance:
            yield advance


class Verb(click.Command):
    """A command that answers with an `Answer`; takes the options that all of them have.

    Args:
        watch: it takes --watch.
        asks: it asks before it acts, so it takes --yes.
        rehearses: it takes --dry-run.
        needs: a permission, for operations that need none of their own since they have no actor.
    """

    def __init__(
        self,
        *args: Any,
        watch: bool = False,
        asks: bool = False,
        rehearses: bool = False,
        needs: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.needs = needs
        if watch:
            every = click.FloatRange(min=0.2)
            told = "Show it again every so many seconds, until Ctrl-C."
            self.params.append(click.Option(["--watch"], type=every, metavar="SECONDS", help=told))
        if asks:
            self.params.append(_flag("--yes", "-y", help="Do it without asking."))
        if rehearses:
            self.params.append(_flag("--dry-run", help="Say what would be done, and do nothing."))
        self.params += [
            _flag("--json", "as_json", help="Print JSON."),
            click.Option(["--user"], default="", metavar="NAME", help="Act with this account's permissions."),
            _flag("--debug", help="Show the traceback of an error."),
        ]

    def invoke(self, ctx: click.Context) -> NoReturn:
        """Run it, show what it answers, and end with its exit code."""
        from queueops.cli import show

        params = dict(ctx.params)
        debug, every = params.pop("debug"), params.pop("watch", None)
        common = {name: params.pop(name) for name in ("as_json", "user", "yes", "dry_run") if name in params}
        call = Call(**common)
        assert self.callback is not None

        def ask() -> Answer:
            if self.needs:
                call.actor.require(self.needs)
            assert self.callback is not None
            answer: Answer = self.callback(call, **params)
            return answer

        with failures.told(ctx, debug):
            if every is not None:
                show.again(ask, every, as_json=call.as_json)
                ctx.exit(0)
            answer = ask()
            show.once(answer, as_json=call.as_json)
        ctx.exit(answer.code)


def _flag(*names: str, help: str) -> click.Option:
    return click.Option(names, is_flag=True, help=help)


class Verbs(click.Group):
    """A group whose commands are defined by modules that are imported when one of them is asked for."""

    command_class = Verb

    def __init__(self, name: str, modules: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        self.modules = list(modules)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order in which they are defined."""
        self._find(ctx, None)
        return list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name; None if there is none."""
        return self._find(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's; a word that is none of ours is answered with the one that was probably meant."""
        word = args[0] if args else ""
        if word and not word.startswith("-") and self._find(ctx, word) is None:
            ctx.fail(f"There is no `{self.name} {word}`. {self._hint(word, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def _hint(self, word: str, known: Sequence[str]) -> str:
        elsewhere, here = RENAMED.get(f"{self.name} {word}"), RENAMED.get(word)
        if elsewhere or here in known:
            return f"Did you mean {elsewhere or here}?"
        meant = difflib.get_close_matches(word, known)
        return f"Did you mean {' or '.join(meant)}?" if meant else f"There are: {', '.join(known)}."

    def _find(self, ctx: click.Context, name: str | None) -> click.Command | None:
        """The command of that name; loads modules until it is there, or all of them for None."""
        while self.modules and (name is None or name not in self.commands):
            with failures.told(ctx, debug=False):
                django_setup.ensure()
                self.commands |= import_module(self.modules.pop(0)).commands.commands
        return None if name is None else self.commands.get(name)


def verbs() -> Verbs:
    """Return what a module collects its commands in."""
    return Verbs("")
