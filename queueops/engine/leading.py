"""The store's part for what one process of all does: a lease, and jobs that only its holder sends."""

from __future__ import annotations

from redis.exceptions import OutOfMemoryError, WatchError

from queueops.engine import replies, scripts
from queueops.engine.enqueue_verbs import EnqueueVerbs
from queueops.engine.rules.envelope import NewJob
from queueops.errors import BrokerFull, StaleLease

__all__ = ["Leading"]


class Leading(EnqueueVerbs):
    """Part of :class:`queueops.engine.store.Store`."""

    def lead(self, name: str, holder: str, lease_ms: int) -> str:
        """Take or keep the lease of ``name``; returns its value, ``""`` while another process has it."""
        return str(self._run("lead", name, holder, lease_ms).decode())

    def lead_no_more(self, name: str, holder: str) -> None:
        """Give up the lease of ``name``, so that the next process need not wait for its end."""
        self._run("lead", name, holder, 0)

    def is_led(self, name: str) -> bool:
        """Return whether some process holds the lease of ``name``."""
        return bool(self.client.exists(self.key("lock", name=name)))

    def due_times(self) -> dict[str, int]:
        """Return when the latest job of each entry of the schedule was due, in ms."""
        found = self.client.hgetall(self.key("schedule"))
        return {entry.decode("utf-8", "replace"): int(ms) for entry, ms in found.items()}

    def send_due(self, name: str, lease: str, queue: str, job: NewJob, due: str) -> str:
        """Enqueue the job of a due time as the leader of ``name``; see :meth:`enqueue_due`."""
        return self.enqueue_due(name, lease, queue, self._enqueue_args(queue, [job], None), due)

    def enqueue_due(self, name: str, lease: str, queue: str, arguments: list[str | int], due: str) -> str:
        """Run an enqueue of one job in one step with a look at the lease of ``name``.

        ``lease``: what :meth:`lead` has given. ``arguments``: of the script. ``due``: entry of a schedule,
        TAB, due ms; the broker keeps the latest of each entry. Returns the word of ``Store.enqueue``, and
        ``duplicate`` for a time that is not after the latest. Raises :class:`StaleLease` when the lease is no
        longer held; nothing was written then, however long ago its holder looked at it.
        """
        lock, sent = self.key("lock", name=name), self.key("schedule")
        entry, _, due_ms = due.rpartition("\t")
        with self.client.pipeline() as pipe:
            try:
                pipe.watch(lock)
                if (pipe.get(lock) or b"").decode() != lease:
                    raise StaleLease(f"Another process leads {name} now.")
                if int(pipe.hget(sent, entry) or 0) >= int(due_ms):
                    return "duplicate"
                pipe.multi()
                pipe.eval(scripts.source("enqueue"), 1, self.prefix, *arguments)
                [reply] = pipe.execute()
            except WatchError:
                raise StaleLease(f"Another process leads {name} now.") from None
            except OutOfMemoryError as error:
                raise BrokerFull from error
        [word] = replies.enqueued(queue, reply)
        # After the job: whoever dies in between leaves a job that is known by its tag, never a gap.
        self.client.hset(sent, entry, due_ms)
        return word
