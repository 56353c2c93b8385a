"""One soak: servers, workers, publisher and storm put together, run, made quiet and judged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import psycopg
import redis
from celery import Celery

from tests.soak.caps import over_cap
from tests.soak.faults import Chronicle, Kind
from tests.soak.fleet import Fleet
from tests.soak.jobs import Publisher
from tests.soak.judge import judge
from tests.soak.record import lines, runs_of
from tests.soak.report import document
from tests.soak.site import Site
from tests.soak.storm import Storm
from tests.soak.terms import ARM, CAP, CAPPED_ORG, LEASE_SECONDS, OURS, QUEUES
from tests.support.ledger import Ledger
from tests.support.polling import eventually
from tests.support.worker import ROOT, environment

#: After the storm everything must have ended within this.
QUIET_SECONDS = 180.0


def soak(arm: str, *, minutes: float, seed: int, rate: float, keep: Path | None = None) -> dict[str, Any]:
    """Run the storm for ``minutes`` with about ``rate`` jobs a second; return what was found.

    ``keep``: a folder for the logs of workers; without it they are removed.
    """
    os.environ[ARM] = arm
    folder = keep or Path(tempfile.mkdtemp(prefix="queueops-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    site = Site(database=arm == OURS)
    ledger = Ledger(site.ledger.url, namespace=uuid.uuid4().hex)
    chronicle = Chronicle()
    fleet = Fleet(arm, site, ledger, folder, chronicle)
    proxy = site.proxy()
    app = publishing_app(arm, proxy.broker_url if arm == OURS else proxy.url)
    try:
        if arm == OURS:
            _set_caps(site)
        fleet.start_all()
        publisher = Publisher(app, site, arm=arm, seed=seed, rate=rate)
        storm = Storm(site, fleet, chronicle, seed=seed, minutes=minutes)
        began = time.monotonic()
        publisher.start()
        storm.start()
        while (left := minutes * 60 - (time.monotonic() - began)) > 0:
            time.sleep(min(left, 10))
            print(f"{left:4.0f} s left, {len(publisher.jobs)} jobs", file=sys.stderr, flush=True)
        publisher.end()
        storm.end()
        complaints = [f"the storm failed: {failure}" for failure in storm.failures]
        complaints += _become_quiet(arm, site)
        fleet.stop_all()
        runs = runs_of(lines(ledger))
        verdict = judge(
            publisher.jobs,
            runs,
            chronicle.faults,
            _letters(site) if arm == OURS else (),
            has_letters=arm == OURS,
        )
        ended = [fault for fault in chronicle.faults if fault.kind == Kind.WORKER_ENDED]
        complaints += [f"{fault.workers[0]} ended by itself: {fault.note}" for fault in ended]
        complaints += [f"a worker did not stop clean: {which}" for which in fleet.unclean]
        if arm == OURS:
            complaints += _disagreements(site)
            complaints += over_cap(publisher.jobs, runs, chronicle.faults)
        return document(
            arm,
            verdict,
            chronicle.faults,
            publisher.refusals(),
            complaints,
            seed=seed,
            minutes=minutes,
            load=[round(load, 1) for load in os.getloadavg()],
        )
    finally:
        app.close()
        fleet.close()
        site.close()
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def publishing_app(arm: str, broker_url: str) -> Celery:
    """Return the app that publishes; ours changes Celery for its whole process, so it is imported late."""
    if arm == OURS:
        # Imported for its shared tasks.
        from tests.apps.ledger import make_app
        from tests.soak import tasks  # noqa: F401

        return make_app(broker_url)
    from tests.soak.app import stock_app

    return stock_app(broker_url)


def _set_caps(site: Site) -> None:
    """Limit one org in the database, which is where limits come from: workers publish what stands there."""
    code = f"""
from tests.apps import django_ledger
from queueops.models import OrgLimit
OrgLimit.objects.create(org={CAPPED_ORG!r}, max_in_flight={CAP})
"""
    settings = {
        "DATABASE_URL": site.database_url,
        "QUEUEOPS_BROKER_URL": site.primary.broker_url,
        "LEDGER_WORKER": "",
    }
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(settings), check=True, timeout=60)


def _become_quiet(arm: str, site: Site) -> list[str]:
    """Wait until the broker holds no job; return what is left when it does not come to that."""
    is_quiet = _our_rest if arm == OURS else _stock_rest
    try:
        eventually(lambda: not is_quiet(site), within=QUIET_SECONDS, what="no job is left in the broker")
    except (AssertionError, redis.RedisError) as error:
        return [f"not quiet: {error}; left: {is_quiet(site)}"]
    return []


def _our_rest(site: Site) -> str:
    from queueops.engine.store import Store

    store = Store(site.client(), lease_ms=LEASE_SECONDS * 1000)
    seen = [store.queue_snapshot(queue) for queue in QUEUES]
    rest = [f"{s.queue}: {s.ready} ready, {s.scheduled} scheduled, {s.leased} leased" for s in seen]
    busy = any(s.ready or s.scheduled or s.leased for s in seen)
    letters = store.dead_size()
    return "; ".join([*rest, f"{letters} letters not yet rows"]) if busy or letters else ""


def _stock_rest(site: Site) -> str:
    client = site.client()
    waiting = {queue: client.llen(queue) for queue in QUEUES}
    unacked = client.hlen("unacked")
    return f"{waiting}, {unacked} not acknowledged" if unacked or any(waiting.values()) else ""


def _letters(site: Site) -> set[str]:
    with psycopg.connect(site.database_url, connect_timeout=5) as connection:
        return {row[0] for row in connection.execute("SELECT task_id FROM queueops_deadletter")}


def _disagreements(site: Site) -> list[str]:
    """Return what the keys of the broker say against each other, now that all has ended."""
    from queueops.engine.store import Store

    store = Store(site.client())
    found = [
        f"{queue}: {org} still holds {number} slots"
        for queue in QUEUES
        for org in (CAPPED_ORG, "org1")
        if (number := store.org_snapshot(queue, org).in_flight)
    ]
    found += [f"{queue}: the cap is gone" for queue in QUEUES if CAPPED_ORG not in store.read_limits(queue)]
    found += [f"{queue}: the depth mirror holds {n}" for queue in QUEUES if (n := store.client.llen(queue))]
    if left := store.client.hlen(store.key("ids")):
        found.append(f"the index holds {left} jobs that have ended")
    return found
