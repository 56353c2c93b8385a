"""queueops system doctor, check, alerts, config show, recover, cleanup."""

from __future__ import annotations

from datetime import timedelta
from operator import itemgetter

import click
from django.core.checks import ERROR, WARNING

from queueops.cli import options, tables
from queueops.cli.verbs import Answer, Call, Verbs, verbs
from queueops.ops import alerts as warnings
from queueops.ops import cleanup as rows
from queueops.ops import configuration, leases
from queueops.ops import doctor as examination

commands = verbs()


@commands.command()
@click.option("--repair", is_flag=True, help="Mend what can be mended, and look again.")
@click.option("--thorough", is_flag=True, help="Look at every job, and add up queues of many orgs.")
def doctor(call: Call, repair: bool, thorough: bool) -> Answer:
    """Compare all that is kept twice, and prove what is wrong; the exit code is 6 when something is."""
    if repair:
        done = examination.repair(call.actor, thorough=thorough)
        report = done.after
        before = tables.plural(len(done.before.findings), "thing")
        lines = [f"{before} wrong before, {len(report.findings):,} left.", *_findings(report)]
        return Answer(done, lines, code=0 if report.healthy else 6)
    report = examination.examine(call.actor, thorough=thorough)
    return Answer(report, _findings(report), code=0 if report.healthy else 6)


def _findings(report: examination.Report) -> list[str]:
    lines = tables.table(
        report.findings,
        "kind",
        ("mendable", lambda one: one.mendable),
        ("proof", lambda one: one.proof),
        ("what it means", lambda one: one.text),
        empty="Nothing is wrong.",
    )
    looked = (("org", report.orgs), ("lease", report.leases), ("job", report.jobs))
    lines.append(f"Looked at {', '.join(tables.plural(count, noun) for noun, count in looked)}.")
    lines += [f"Left out: {one}." for one in report.left_out]
    if any(finding.mendable for finding in report.findings):
        lines.append("`queueops system doctor --repair` mends what is mendable.")
    return lines


@commands.command()
@click.option("--broker/--no-broker", default=True, show_default=True, help="Ask the broker too.")
def check(call: Call, broker: bool) -> Answer:
    """Check settings and broker; the exit code is 6 when something is wrong."""
    found = configuration.check(call.actor, broker=broker)
    levels = {ERROR: "error", WARNING: "warning"}
    rows = [
        {"level": levels.get(one.level, "note"), "id": one.id, "message": one.msg, "hint": one.hint}
        for one in found
    ]
    lines = tables.table(
        rows,
        *[(name, itemgetter(name)) for name in ("level", "id", "message", "hint")],
        empty="Nothing is wrong.",
    )
    return Answer(rows, lines, code=6 if any(one.level >= WARNING for one in found) else 0)


@commands.command(watch=True)
def alerts(call: Call) -> Answer:
    """Show what is wrong at this moment as the alerts see it; the exit code is 6 when anything is."""
    found = warnings.listed(call.actor)
    lines = tables.table(
        found,
        ("since", lambda one: tables.ago(one.since)),
        "kind",
        "queue",
        ("told", lambda one: one.told_at),
        "text",
        empty="Nothing is wrong.",
    )
    return Answer(found, lines, code=6 if found else 0)


config = Verbs("config", help="See the configuration.")
commands.add_command(config)


@config.command()
@click.argument("search", default="")
def show(call: Call, search: str) -> Answer:
    """Show every setting with its value and who says so; SEARCH is a part of its name."""
    found = [one for one in configuration.shown(call.actor) if search.lower() in one.name.lower()]
    return Answer(found, tables.table(found, "name", "value", "source", empty="No setting."))


@commands.command()
@click.option("--seconds", type=options.DURATION, help="Wait so long at most for the living to renew.")
def recover(call: Call, seconds: timedelta | None) -> Answer:
    """End expired leases now; workers do it each second, this is for a broker without any."""
    done = leases.recover(call.actor, seconds=seconds.total_seconds() if seconds is not None else None)
    left = " Others have expired, and their workers still have time to renew." if done.waiting else ""
    return Answer(done, [f"{tables.plural(done.count, 'lease')} ended.{left}"])


@commands.command(asks=True, rehearses=True)
@click.option("--days", type=int, help="Results and closed letters older than so many days, 1 to 365.")
def cleanup(call: Call, days: int | None) -> Answer:
    """Delete what is past its retention: results, closed dead letters, audit entries."""
    if not call.dry_run:
        old = f"older than {tables.plural(days, 'day')}" if days is not None else "past their retention"
        call.confirm(f"Delete results and closed letters {old}, and audit entries past their retention?")
    done = rows.cleanup(call.actor, days, dry_run=call.dry_run)
    told = ", ".join(f"{count:,} {name}" for name, count in done.by_table.items()) or "nothing to delete"
    if call.dry_run:
        would = f"{tables.plural(done.count, 'row')}{' and more' if done.more else ''} would be deleted"
        return Answer(done, [f"{would}: {told}. Nothing was done."])
    return Answer(done, [f"{tables.plural(done.count, 'row')} deleted: {told}."])
