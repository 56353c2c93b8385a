"""The command `queueops`: its groups, and the way into it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from queueops.cli.verbs import Verbs

__all__ = ["GROUPS", "main", "root"]

#: Each group with the modules that define its commands, and what they are about.
GROUPS = {
    "queue": (("queue", "queue_changes", "queue_history"), "See, pause, drain and unstick queues."),
    "job": (("job",), "See, explain, cancel and hold single jobs."),
    "dlq": (("dlq", "dlq_changes"), "See, replay, discard and purge dead letters."),
    "org": (("org_list", "org"), "See orgs, set their limits, pause and resume them."),
    "resource": (("resource",), "See resources and set their limits."),
    "panic": (("panic",), "Hold the jobs of a resource that is down."),
    "worker": (("worker",), "See, start, scale, quiet and stop workers."),
    "schedule": (("schedule",), "See and operate the entries of the schedule."),
    "system": (("system",), "Check, repair and clean up the whole."),
    "audit": (("audit",), "See who did what."),
    "metrics": (("metrics",), "Metrics for Prometheus."),
    "token": (("token",), "Tokens for the REST API."),
}

EPILOG = (
    "Every command takes --json, --user and --debug. Exit codes: 0 done, 1 refused or failed, 2 wrong usage, "
    "3 not found, 4 broker or database unavailable, 5 no permission, 6 not healthy."
)


@click.group("queueops", cls=Verbs, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="queueops")
def root() -> None:
    """Operate queues that many orgs share."""


for _name, (_modules, _help) in GROUPS.items():
    root.add_command(Verbs(_name, tuple(f"queueops.cli.{module}" for module in _modules), help=_help))


@root.command(cls=click.Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what completes `queueops` in a shell: source <(queueops completion bash)."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None, shell
    click.echo(found(root, {}, "queueops", "_QUEUEOPS_COMPLETE").source())


def main(arguments: Sequence[str] | None = None, program: str = "queueops") -> None:
    """Run one command and end the process with its exit code.

    Args:
        arguments: those after the program's name; None takes them from the process.
        program: how usage and help name it.
    """
    # As with manage.py and celery, a project is what lies in the folder where one stands.
    if (folder := os.getcwd()) not in sys.path:
        sys.path.insert(0, folder)
    root.main(arguments, prog_name=program, complete_var="_QUEUEOPS_COMPLETE")
