"""docs/cli.md is what the commands say of themselves."""

from __future__ import annotations

from celery import Celery

from queueops.cli.reference import leaves, page
from queueops.cli.root import GROUPS
from queueops.cli.verbs import Verb
from tests.house.support import ROOT


def test_the_page_is_current(app: Celery) -> None:
    written = (ROOT / "docs" / "cli.md").read_text()

    assert written == page(), "python -m queueops.cli.reference > docs/cli.md"


def test_every_command_says_what_it_does_and_takes_json(app: Celery) -> None:
    for path, command in leaves():
        assert command.help, path
        if path != ("completion",):
            assert isinstance(command, Verb), path
            options = {option for one in command.params for option in one.opts}
            assert {"--json", "--user", "--debug"} <= options, path


def test_lists_have_a_limit(app: Celery) -> None:
    lists = {path: command for path, command in leaves() if path[-1] == "list" and path != ("queue", "list")}

    for path, command in lists.items():
        assert any(one.name == "limit" for one in command.params), path


def test_every_group_has_commands(app: Celery) -> None:
    assert {path[0] for path, _ in leaves()} - {"completion"} == set(GROUPS)
