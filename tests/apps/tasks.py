"""Plain shared tasks that leave their runs in the ledger."""

from __future__ import annotations

import os
import signal
import time
from contextlib import AbstractContextManager
from functools import cache

from celery import Task, shared_task
from celery.exceptions import Ignore, Reject, Retry

from queueops import BatchJob, current_org
from tests.support.ledger import Ledger


class Refused(Exception):
    """A failure that another attempt may mend."""


class Hopeless(Exception):
    """A failure that no attempt mends."""


@cache
def ledger() -> Ledger:
    """The ledger that the environment names."""
    return Ledger(os.environ["LEDGER_URL"], os.environ["LEDGER_NAMESPACE"])


def recorded(task: Task, job: str) -> AbstractContextManager[None]:
    """Start and end of this run, with what the request knows."""
    request = task.request
    header = (request.get("headers") or {}).get("queueops") or request.get("queueops") or {}
    return ledger().recorded(
        job,
        task_id=request.id,
        retries=request.retries or 0,
        org=header.get("org", ""),
        worker=request.hostname or "",
    )


@shared_task(bind=True, name="ledger.run")
def run(self: Task, job: str, seconds: float = 0.0) -> str:
    """Take ``seconds``."""
    with recorded(self, job):
        time.sleep(seconds)
    return job


@shared_task(bind=True, name="ledger.hold")
def hold(self: Task, job: str, gate: str, within: float = 60.0) -> bool:
    """Stand still until the test opens ``gate``."""
    with recorded(self, job):
        return ledger().wait_at(gate, within=within)


@shared_task(bind=True, name="ledger.hold_once", acks_late=False)
def hold_once(self: Task, job: str, gate: str, within: float = 60.0) -> bool:
    """As ``hold``, but never run twice."""
    with recorded(self, job):
        return ledger().wait_at(gate, within=within)


@shared_task(bind=True, name="ledger.hold_and_fail")
def hold_and_fail(self: Task, job: str, gate: str, within: float = 60.0) -> None:
    """Stand still until the test opens ``gate``, and then fail."""
    with recorded(self, job):
        ledger().wait_at(gate, within=within)
        raise Refused(f"{job} refused")


@shared_task(bind=True, name="ledger.fail")
def fail(self: Task, job: str, times: int = 1_000_000) -> None:
    """Fail the first ``times`` runs."""
    with recorded(self, job):
        if ledger().starts(job) <= times:
            raise Refused(f"{job} refused")


@shared_task(bind=True, name="ledger.fail_at")
def fail_at(self: Task, job: str, gate: str, within: float = 60.0) -> None:
    """Stand still until the test opens ``gate``, then fail."""
    with recorded(self, job):
        ledger().wait_at(gate, within=within)
        raise Refused(f"{job} refused")


@shared_task(bind=True, name="ledger.fail_behind_door")
def fail_behind_door(self: Task, job: str, gate: str) -> None:
    """Fail the first run when the test opens ``gate``."""
    with recorded(self, job):
        if ledger().starts(job) == 1:
            ledger().wait_at(gate, within=60)
            raise Refused(f"{job} refused")


@shared_task(bind=True, name="ledger.fail_for_good", no_retry=(Hopeless,))
def fail_for_good(self: Task, job: str) -> None:
    """Fail with an exception that the task lists as final."""
    with recorded(self, job):
        raise Hopeless(f"{job} is hopeless")


@shared_task(
    bind=True,
    name="ledger.own_attempts",
    autoretry_for=(Refused,),
    max_retries=1,
    retry_backoff=False,
    default_retry_delay=0,
)
def own_attempts(self: Task, job: str) -> None:
    """A task that counts its attempts itself, as plain Celery does."""
    with recorded(self, job):
        raise Refused(f"{job} refused")


@shared_task(bind=True, name="ledger.weigh", offload=True)
def weigh(self: Task, job: str, text: str, times: int = 0) -> None:
    """Record how long ``text`` is; fail the first ``times`` runs."""
    with recorded(self, f"{job} {len(text)}"):
        if self.request.retries < times:
            raise Refused(f"{job} refused")


@shared_task(bind=True, name="ledger.weigh_other", offload=True)
def weigh_other(self: Task, job: str, text: str) -> None:
    """Ask for a retry with another text."""
    with recorded(self, f"{job} {len(text)}"):
        if not self.request.retries:
            raise self.retry(args=(job, text + text), countdown=0)


@shared_task(bind=True, name="ledger.leave")
def leave(self: Task, job: str, how: str) -> None:
    """End by one of Celery's own ways: ignore, reject, requeue."""
    with recorded(self, job):
        if how == "ignore":
            raise Ignore
        raise Reject("refused by the body", requeue=how == "requeue")


@shared_task(bind=True, name="ledger.kill_process")
def kill_process(self: Task, job: str) -> None:
    """Die as an out-of-memory kill lets it: the process that runs the body is gone."""
    with recorded(self, job):
        os.kill(os.getpid(), signal.SIGKILL)


class DiesAfterSuccess(Task):
    """Its process dies when the result is stored and nobody has been told."""

    def on_success(self, retval: object, task_id: str, args: object, kwargs: object) -> None:
        """Called by Celery in the child, after SUCCESS is stored."""
        os.kill(os.getpid(), signal.SIGKILL)


@shared_task(bind=True, base=DiesAfterSuccess, name="ledger.succeed_and_die", ignore_result=False)
def succeed_and_die(self: Task, job: str) -> None:
    """End well, and die before the worker hears of it."""
    with recorded(self, job):
        pass


@shared_task(
    bind=True,
    base=DiesAfterSuccess,
    name="ledger.succeed_once_and_die",
    ignore_result=False,
    acks_late=False,
)
def succeed_once_and_die(self: Task, job: str) -> None:
    """The same, and it must not run twice."""
    with recorded(self, job):
        pass


@shared_task(bind=True, name="ledger.retry_and_die")
def retry_and_die(self: Task, job: str) -> None:
    """Ask for a retry, and die at the moment it is published; the retry ends well."""
    with recorded(self, job):
        if self.request.retries:
            return
        try:
            self.retry(countdown=1)
        except Retry:
            os.kill(os.getpid(), signal.SIGKILL)


@shared_task(name="ledger.add")
def add(x: int, y: int) -> int:
    """x + y."""
    return x + y


@shared_task(bind=True, name="ledger.total")
def total(self: Task, numbers: list[int], job: str = "") -> int:
    """The sum of a chord's results, recorded: a chord's body must run once."""
    with recorded(self, job):
        return sum(numbers)


@shared_task(bind=True, name="ledger.use", retry_policy={"base_seconds": 0.2, "cap_seconds": 0.2})
def use(self: Task, job: str, thing: str, seconds: float = 0.0) -> None:
    """Use an outside thing, which fails while the test has broken it; publish with ``resource=thing``."""
    with recorded(self, job):
        time.sleep(seconds)
        if ledger().is_broken(thing):
            raise Refused(f"{thing} is broken")


@shared_task(name="ledger.together", batch={"size": 10, "seconds": 1.0})
def together(jobs: list[BatchJob]) -> None:
    """Each job says by its second argument how it ends; the first one's name is that of the batch."""
    batch = jobs[0].args[0]
    for job in jobs:
        name, how = job.args[0], job.args[1] if len(job.args) > 1 else ""
        with ledger().recorded(
            name, task_id=job.task_id, retries=job.attempt - 1, org=job.org, worker=f"{batch}/{len(jobs)}"
        ):
            if how == "fail":
                job.fail(Refused(f"{name} refused"))
            elif how == "hopeless":
                job.fail(Hopeless(f"{name} is hopeless"))
            elif how == "once" and job.attempt == 1:
                job.fail(Refused(f"{name} refused once"))
            elif how == "gate":
                ledger().wait_at("batch", within=60.0)
            elif how == "raise":
                raise Refused("the whole batch")
            elif how == "kill" and job.request.delivery_info["deliveries"] == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            else:
                job.succeed(name)


@shared_task(name="ledger.patient", batch={"size": 10, "seconds": 7.0, "per_org": True}, org_from="org")
def patient(jobs: list[BatchJob]) -> None:
    """Batches of one org, which wait longer than a lease of the tests lasts."""
    for job in jobs:
        with ledger().recorded(
            job.args[0], task_id=job.task_id, org=current_org(), worker=f"{job.args[0]}/{len(jobs)}"
        ):
            pass
