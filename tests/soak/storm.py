"""The storm: two threads that deal faults from shuffled decks, one for workers and one for what they stand
on, so that faults of both kinds meet.
"""

from __future__ import annotations

import random
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence

from tests.soak.faults import Chronicle, Fault, Kind
from tests.soak.fleet import Fleet, Slot, children, kill_process
from tests.soak.site import Site
from tests.soak.terms import LEASE_SECONDS
from tests.support.polling import eventually
from tests.support.proxy import Proxy
from tests.support.valkey import Valkey

#: Seconds between two faults of one thread.
PAUSE = (0.5, 4.0)
SHORTEST, LONGEST = 5.0, 90.0
#: A machine that lets a thread wait so much too long may have kept a worker from renewing its lease.
STALL_SECONDS = 2.0


class Storm:
    """Faults until ``over`` is set; whatever lasts then is undone at once.

    ``minutes``: of the whole soak; black holes and outages grow with it, from 5 s up to 90 s.
    """

    def __init__(self, site: Site, fleet: Fleet, chronicle: Chronicle, *, seed: int, minutes: float) -> None:
        self.site, self.fleet, self.chronicle = site, fleet, chronicle
        self.seed = seed
        self.longest = min(LONGEST, max(SHORTEST + 5, minutes * 4))
        self.over = threading.Event()
        self.failures: list[str] = []
        self._holes: Counter[Proxy] = Counter()
        self._lock = threading.Lock()
        self.threads = [
            threading.Thread(target=self._deal, args=(name, deck), name=f"storm-{name}", daemon=True)
            for name, deck in (("workers", self._worker_deck()), ("ground", self._ground_deck()))
        ]
        self.threads.append(threading.Thread(target=self._watch_the_machine, daemon=True))
        self.threads.append(threading.Thread(target=fleet.look_after, args=(self.over,), daemon=True))

    def start(self) -> None:
        """Begin."""
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        """Undo what lasts and end; every worker runs or is being started when this returns."""
        self.over.set()
        for thread in self.threads:
            thread.join(timeout=120)
        for proxy in self.site.proxies:
            proxy.heal()

    def _worker_deck(self) -> Sequence[Callable[[random.Random], None]]:
        return (self.kill, self.kill, self.kill_child, self.stop, self.cut, self.black_hole, self.deploy)

    def _ground_deck(self) -> Sequence[Callable[[random.Random], None]]:
        return (
            self.shut_broker_down,
            self.kill_broker,
            self.promote_by_switch,
            self.promote_after_crash,
            self.cut_all,
            self.black_hole_all,
            self.fill_broker,
            self.step_clock,
            self.take_database_away,
        )

    def _deal(self, name: str, deck: Sequence[Callable[[random.Random], None]]) -> None:
        source = random.Random(f"{self.seed}-{name}")
        while not self.over.is_set():
            for fault in source.sample(deck, len(deck)):
                if self.over.wait(source.uniform(*PAUSE)):
                    return
                try:
                    fault(source)
                except Exception:
                    self.failures.append(f"{fault.__name__}: {traceback.format_exc()}")

    def _watch_the_machine(self) -> None:
        last = time.time()
        while not self.over.wait(0.25):
            now = time.time()
            if now - last > STALL_SECONDS:
                self.chronicle.add(Fault(Kind.MACHINE_STOOD, last, now))
            last = now

    def _swallow(self, proxies: Sequence[Proxy], seconds: float) -> None:
        """Let no byte through these proxies; one that is in two black holes is free when both have ended, or
        "everybody" would not be everybody.
        """
        with self._lock:
            self._holes.update(proxies)
            for proxy in proxies:
                proxy.black_hole()
        self.over.wait(seconds)
        with self._lock:
            self._holes.subtract(proxies)
            for proxy in proxies:
                if not self._holes[proxy]:
                    proxy.heal()

    # Workers

    def _slot(self, source: random.Random, pool: str = "") -> Slot:
        return source.choice([slot for slot in self.fleet.slots if not pool or slot.pool == pool])

    def kill(self, source: random.Random) -> None:
        """SIGKILL to a worker and its children; a new one is started a little later."""
        slot, later = self._slot(source), source.uniform(0.2, 3)
        with slot.lock:
            assert slot.worker is not None
            with self.chronicle.lasting(Kind.WORKER_KILLED, slot.name):
                slot.worker.kill()
            self.over.wait(later)
            self.fleet.start(slot)

    def kill_child(self, source: random.Random) -> None:
        """SIGKILL to one process of a prefork pool."""
        slot = self._slot(source, "prefork")
        with slot.lock:
            assert slot.worker is not None
            if pids := children(slot.worker):
                pid = source.choice(sorted(pids))
                with self.chronicle.lasting(Kind.CHILD_KILLED, slot.name, pid=pid):
                    kill_process(pid)

    def stop(self, source: random.Random) -> None:
        """SIGSTOP to a worker and its children for longer than a lease, as a suspended machine."""
        slot, seconds = self._slot(source), LEASE_SECONDS + source.uniform(1, LEASE_SECONDS)
        with slot.lock:
            assert slot.worker is not None
            with self.chronicle.lasting(Kind.STOPPED, slot.name):
                slot.worker.send_all(signal.SIGSTOP)
                self.over.wait(seconds)
                slot.worker.send_all(signal.SIGCONT)

    def cut(self, source: random.Random) -> None:
        """RST on all connections of one worker, several times."""
        slot = self._slot(source)
        with slot.lock, self.chronicle.lasting(Kind.CONNECTION_CUT, slot.name):
            for _ in range(source.randint(1, 8)):
                slot.proxy.cut()
                self.over.wait(source.uniform(0.1, 1.5))

    def black_hole(self, source: random.Random) -> None:
        """No byte between one worker and the broker."""
        slot, seconds = self._slot(source), source.uniform(SHORTEST, self.longest)
        with slot.lock, self.chronicle.lasting(Kind.CUT_OFF, slot.name):
            self._swallow([slot.proxy], seconds)

    def deploy(self, source: random.Random) -> None:
        """SIGTERM to a worker, and a new one when it has ended: no job may suffer by it."""
        slot = self._slot(source)
        with slot.lock:
            assert slot.worker is not None
            with self.chronicle.lasting(Kind.DEPLOYED, slot.name):
                slot.worker.terminate()
                slot.worker.wait_exit(within=90)
            self.fleet.start(slot)

    # What they stand on

    def shut_broker_down(self, source: random.Random) -> None:
        """SHUTDOWN, and back after a while."""
        seconds = source.uniform(1, self.longest / 2)
        with self.chronicle.lasting(Kind.BROKER_STOPPED):
            self.site.restart(Valkey.shutdown, lambda: self.over.wait(seconds))

    def kill_broker(self, source: random.Random) -> None:
        """Kill -9, and back after a while."""
        seconds = source.uniform(0.2, self.longest / 2)
        with self.chronicle.lasting(Kind.BROKER_KILLED):
            self.site.restart(Valkey.kill, lambda: self.over.wait(seconds))

    def _promote(self, source: random.Random, *, crash: bool) -> None:
        # A replica that has not caught up since the last fault would not be promoted by anybody.
        eventually(self.site.is_in_sync, within=30, what="a replica that can be promoted")
        seconds = source.uniform(0.2, 5)
        with self.chronicle.lasting(Kind.PROMOTED, note="crash" if crash else "switch"):
            self.site.promote(crash=crash, wait=lambda: self.over.wait(seconds))

    def promote_by_switch(self, source: random.Random) -> None:
        """The replica becomes the primary while the old one still answers."""
        self._promote(source, crash=False)

    def promote_after_crash(self, source: random.Random) -> None:
        """The primary is killed, the replica takes over."""
        self._promote(source, crash=True)

    def cut_all(self, source: random.Random) -> None:
        """RST on every connection there is, several times."""
        with self.chronicle.lasting(Kind.CONNECTION_CUT):
            for _ in range(source.randint(1, 5)):
                for proxy in self.site.proxies:
                    proxy.cut()
                self.over.wait(source.uniform(0.1, 2))

    def black_hole_all(self, source: random.Random) -> None:
        """No byte between anybody and the broker."""
        seconds = source.uniform(SHORTEST, self.longest)
        with self.chronicle.lasting(Kind.ALL_CUT_OFF):
            self._swallow(self.site.proxies, seconds)

    def fill_broker(self, source: random.Random) -> None:
        """The broker's memory is full."""
        seconds = source.uniform(2, 8)
        with self.chronicle.lasting(Kind.BROKER_FULL):
            self.site.primary.fill()
            self.over.wait(seconds)
            self.site.primary.limit_memory(0)

    def step_clock(self, source: random.Random) -> None:
        """The broker's clock jumps and jumps back, as its scripts see it: one beat of a worker carries
        another time. A server's real clock is the machine's, which only root may set.
        """
        if self.site.postgres is None:
            return  # stock has no scripts that read the time
        from queueops.engine.store import Store

        seconds = source.choice((-3600, -30, 30, 3600))
        with self.chronicle.lasting(Kind.CLOCK_STEPPED, note=f"{seconds:+d} s"):
            store = Store(self.site.client(), lease_ms=LEASE_SECONDS * 1000)
            store.reap(now_ms=store.now_ms() + seconds * 1000)

    def take_database_away(self, source: random.Random) -> None:
        """The database crashes, and is back after a while."""
        seconds = source.uniform(2, self.longest)
        if self.site.postgres is None:
            self.over.wait(seconds)
            return
        with self.chronicle.lasting(Kind.DATABASE_AWAY):
            self.site.postgres.stop()
            self.over.wait(seconds)
            self.site.postgres.start()
