"""A random life of the engine: after every step all keys agree, no gate is exceeded and no job is lost."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from queueops.engine.rules.gates import Limits
from queueops.engine.types import Leased
from tests.engine.invariants import check, healthy
from tests.engine.world import QUEUE, World
from tests.support.valkey import Valkey

ORGS = ("a", "b", "c", "d")
QUEUES = (QUEUE, "bulk")
HOLDERS = ("w1", "w2")
STEPS = 300
#: An org whose cap was lowered may still hold what it had.
UNCAPPED = 10**9

_numbers = itertools.count(1)


class Life:
    """Jobs, leases and caps as the test knows them, beside the engine."""

    def __init__(self, port: int, seed: int) -> None:
        self.world = World(port, f"life{next(_numbers)}:")
        self.store = self.world.store
        self.random = random.Random(seed)
        self.held: dict[str, Leased] = {}
        self.caps: dict[tuple[str, str], int] = {}
        self.virtual = dict.fromkeys(QUEUES, 0.0)
        self.enqueued = self.ended = 0
        self.world.beat()
        self.steps: dict[Callable[[], None], int] = {
            self.enqueue: 30,
            self.claim: 40,
            self.settle: 25,
            self.release: 6,
            self.retry: 6,
            self.renew: 8,
            self.register: 3,
            self.leave: 1,
            self.pause: 4,
            self.limit: 5,
            self.configure: 2,
            self.purge: 1,
            self.pass_time: 20,
        }

    def step(self) -> str:
        """Do one thing; returns its name."""
        [step] = self.random.choices(list(self.steps), list(self.steps.values()))
        step()
        return step.__name__

    def mine(self, holder: str) -> list[str]:
        """Tokens that ``holder`` holds."""
        return [token for token in self.held if token.startswith(holder)]

    def some(self, most: int) -> list[Leased]:
        """Take up to ``most`` leases out of those held."""
        tokens = self.random.sample(sorted(self.held), min(len(self.held), self.random.randint(1, most)))
        return [self.held.pop(token) for token in tokens]

    def enqueue(self) -> None:
        number, pick = self.random.randint(1, 4), self.random.choice
        self.world.enqueue(
            pick(ORGS),
            number,
            pick(QUEUES),
            due_ms=pick((0, 0, 0, self.world.now + 200)),
            once=pick((False, True)),
            resource=pick(("", "", "mail", "sms")),
            patience_ms=pick((0, 500)),
        )
        self.enqueued += number

    def claim(self) -> None:
        free, ahead = self.random.randint(0, 6), self.random.choice((0, 0, 3))
        queues = self.random.choice((QUEUES, QUEUES[::-1], QUEUES[:1], QUEUES[1:]))
        claim = self.world.claim(free, self.random.choice(HOLDERS), queues, ahead)
        assert len(claim.jobs) <= free + ahead
        assert not any(job.limited for job in claim.jobs[free:])
        places = {(job.queue, job.tag) for job in self.held.values()}
        for job in claim.jobs:
            assert (job.queue, job.tag) not in places, "a job was handed out twice"
            places.add((job.queue, job.tag))
            self.held[job.token] = job
            in_flight = sum((other.queue, other.org) == (job.queue, job.org) for other in self.held.values())
            assert in_flight <= self.caps.get((job.queue, job.org), UNCAPPED)

    def settle(self) -> None:
        jobs = self.some(5)
        outcome = self.random.choice(("succeeded", "succeeded", "dead", "cancelled"))
        run_ms = self.random.choice((0, 3.25, 100, 4000.125))
        assert self.world.settle(*jobs, outcome=outcome, run_ms=run_ms) == ["settled"] * len(jobs)  # type: ignore[arg-type]
        self.ended += len(jobs)

    def release(self) -> None:
        lost = self.random.random() < 0.5
        delay = self.random.choice((0, 0, 100))
        for job in self.some(3):
            [word] = self.store.release([job.token], delay_ms=delay, lost=lost, now_ms=self.world.now)
            assert word == ("dead" if lost and (job.once or job.deliveries >= 3) else "released")
            self.ended += word == "dead"

    def retry(self) -> None:
        for job in self.some(1):
            due_ms = self.random.choice((0, self.world.now + 300))
            retry = self.world.job(job.org, supersedes=job.token, task_id=job.task_id, due_ms=due_ms)
            queue = self.random.choice(QUEUES)
            assert self.store.enqueue(queue, [retry], now_ms=self.world.now)[0] in ("ready", "scheduled")
            self.enqueued += 1
            self.ended += 1

    def renew(self) -> None:
        holder, ran = self.random.choice(HOLDERS), self.random.choice((0, 50, 700.5, 20_000))
        assert self.world.renew(holder, dict.fromkeys(self.mine(holder), ran)) == []

    def register(self) -> None:
        holder = self.random.choice(HOLDERS)
        queues = self.random.choice((QUEUES, QUEUES[:1]))
        self.store.renew(
            holder,
            dict.fromkeys(self.mine(holder), 1),
            answered=0,
            now_ms=self.world.now,
            registration={"queues": queues, "slots": self.random.randint(0, 9)},
        )

    def leave(self) -> None:
        holder = self.random.choice(HOLDERS)
        mine = self.mine(holder)
        assert self.store.leave(holder, now_ms=self.world.now) == len(mine)
        for token in mine:
            del self.held[token]

    def pause(self) -> None:
        queue, org = self.random.choice(QUEUES), self.random.choice(("", *ORGS))
        if self.random.random() < 0.5:
            self.store.resume(queue, org, now_ms=self.world.now)
        else:
            until = self.random.choice((0, self.world.now + 300))
            self.store.pause(queue, org, until_ms=until, now_ms=self.world.now)

    def limit(self) -> None:
        queue, org, pick = self.random.choice(QUEUES), self.random.choice(ORGS), self.random.choice
        self.caps.pop((queue, org), None)
        if pick((True, False)):
            self.store.set_limits(queue, {org: None}, now_ms=self.world.now)
            return
        limits = Limits(
            weight=pick((0.1, 1, 7)),
            rpm=pick((None, 60, 6000)),
            max_in_flight=pick((None, 0, 1, 3)),
            share=pick((None, 0.3)),
            until_ms=pick((0, self.world.now + 500)),
        )
        self.store.set_limits(queue, {org: limits}, now_ms=self.world.now)
        if limits.max_in_flight is not None and not limits.until_ms:
            in_flight = sum((job.queue, job.org) == (queue, org) for job in self.held.values())
            self.caps[queue, org] = max(limits.max_in_flight, in_flight)

    def configure(self) -> None:
        pick = self.random.choice
        fair_by, concurrency = pick(("time", "count")), pick((None, None, 0, 4))
        self.store.set_queue(pick(QUEUES), concurrency=concurrency, fair_by=fair_by, now_ms=self.world.now)

    def purge(self) -> None:
        self.ended += self.store.purge(self.random.choice(QUEUES), now_ms=self.world.now)

    def pass_time(self) -> None:
        self.world.clock.advance(ms=self.random.choice((1, 50, 400, 3000)))
        assert self.world.beat() == 0, "leases that are renewed in time were reaped"
        for holder in HOLDERS:
            assert self.world.renew(holder, dict.fromkeys(self.mine(holder), 0)) == []

    def verify(self) -> None:
        """Compare everything with everything."""
        check(self.world)
        pictures = {queue: self.world.queue(queue) for queue in QUEUES}
        live = sum(picture.ready + picture.scheduled + picture.leased for picture in pictures.values())
        assert live == self.enqueued - self.ended, "a job was lost"
        assert sum(picture.leased for picture in pictures.values()) == len(self.held)
        for queue, picture in pictures.items():
            assert picture.virtual_time_ms >= self.virtual[queue], "time ran back"
            self.virtual[queue] = picture.virtual_time_ms

    def drain(self) -> None:
        """Open everything and run it to its end."""
        for queue in QUEUES:
            self.store.set_queue(queue, now_ms=self.world.now)
            self.store.set_limits(queue, dict.fromkeys(ORGS), now_ms=self.world.now)
            for org in ("", *ORGS):
                self.store.resume(queue, org, now_ms=self.world.now)
        self.caps.clear()
        while self.enqueued > self.ended:
            self.world.clock.advance(ms=200)
            self.settle() if self.held else None
            for job in self.world.take(100, queues=QUEUES):
                self.held[job.token] = job
            self.verify()


@pytest.mark.parametrize("seed", range(5))
def test_a_random_life(shared_valkey: Valkey, seed: int) -> None:
    live(shared_valkey.port, seed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_random_lives(shared_valkey: Valkey) -> None:
    for seed in range(100, 160):
        live(shared_valkey.port, seed)


def live(port: int, seed: int) -> None:
    """One life, then its end."""
    life = Life(port, seed)
    done = []
    try:
        for _ in range(STEPS):
            done.append(life.step())
            life.verify()
            if len(done) % 5 == 0:
                healthy(life.world)
        life.drain()
    except BaseException as error:
        error.add_note(f"seed {seed}, after {len(done)} steps: ... {' '.join(done[-12:])}")
        raise
    finally:
        life.world.clear()
        life.world.client.close()
