"""What the load test starts, what it must find afterwards, and what is wrong when it does not. Nothing here runs."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

TAG: Final = "load-test"
#: A job that is meant to fail does so with this code.
MEANT_TO_FAIL: Final = "meant_to_fail"
#: Faults named in full; more are counted.
SHOWN: Final = 20


class PlannedJob(msgspec.Struct, frozen=True):
    """A job, told from the others by its number."""

    number: int
    #: Until it is told to go on, which nobody is before all of them wait.
    waits: bool = False
    sleep_ms: int = 0
    fails: bool = False

    @property
    def key(self) -> str:
        """Its idempotency key."""
        return f"load-{self.number}"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is started: jobs that are under way together, then a burst of them in one request."""

    together: list[PlannedJob]
    burst: list[PlannedJob]
    #: Jobs of the burst whose queue messages arrive twice, and that are asked for twice.
    repeated: list[PlannedJob]

    @property
    def jobs(self) -> list[PlannedJob]:
        """Every job."""
        return [*self.together, *self.burst]


class FoundJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job as its own object shows it at the end."""

    id: str
    status: str
    result: object = None
    code: str | None = None
    started_ms: int | None = None
    finished_ms: int | None = None
    created_ms: int = 0
    attempts: int = 0
    crashes: int = 0


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What there is at the end."""

    #: By number, the jobs that the requests named.
    jobs: Mapping[int, FoundJob]
    #: Effects by ``NUMBER/PLACE``.
    effects: Mapping[str, int]
    #: By the same name, of those that happened more than once: the attempts of the step, as the journal has them.
    attempts: Mapping[str, int]
    #: Ids of the jobs that the catalog lists under the tag, with repetitions.
    listed: Sequence[str]
    #: Ids of jobs among the dead letters of jobs, and causes of the dead letters of messages.
    dead_jobs: Sequence[str]
    dead_messages: Sequence[str]
    #: What the metrics say ended, by outcome.
    ended: Mapping[str, int]


def plan(*, together: int, burst: int, fail_every: int, seed: int) -> Plan:
    """Return what a seed stands for; one job of the burst in ``fail_every`` fails."""
    draw = random.Random(seed)  # noqa: S311 - a plan is to be repeatable
    first = [PlannedJob(number, waits=True) for number in range(together)]
    numbers = range(together, together + burst)
    failing = set(draw.sample(numbers, burst // fail_every))
    second = [PlannedJob(number, sleep_ms=draw.choice((0, 0, 50)), fails=number in failing) for number in numbers]
    return Plan(together=first, burst=second, repeated=draw.sample(second, burst // 10))


def faults(plan: Plan, found: Findings, *, malformed: int, unknown: int) -> list[str]:
    """Return what is not as it should be; nothing when the test has passed.

    Args:
        plan: what was started.
        found: what there is.
        malformed: messages put into queues that named no job.
        unknown: messages put into the dead-letter queue that named jobs which never were.
    """
    wrong = [fault for job in plan.jobs for fault in _faults_of(job, found)]
    ids = [job.id for job in found.jobs.values()]
    wrong += _differences("the catalog lists", found.listed, ids)
    failed = [found.jobs[job.number].id for job in plan.jobs if job.fails and job.number in found.jobs]
    wrong += _differences("the dead letters name", found.dead_jobs, failed)
    causes = sorted(cause.partition(":")[0] for cause in found.dead_messages)
    expected = ["malformed_message"] * malformed + ["unknown_job"] * unknown
    if causes != expected:
        wrong.append(f"dead messages are {causes}, and should be {expected}")
    ended = {"completed": len(plan.jobs) - len(failed), "failed": len(failed), "cancelled": 0, "expired": 0}
    if dict(found.ended) != ended:
        wrong.append(f"the metrics count {dict(found.ended)}, and should count {ended}")
    overlap = most_at_once([found.jobs[job.number] for job in plan.together if job.number in found.jobs])
    if overlap < len(plan.together):
        wrong.append(f"at most {overlap} of {len(plan.together)} jobs were under way together")
    return wrong


def most_at_once(jobs: Iterable[FoundJob]) -> int:
    """Return how many jobs were under way at the same moment, at most."""
    moments: list[tuple[int, int]] = []
    for job in jobs:
        if job.started_ms is not None and job.finished_ms is not None:
            # A job that ends as another one starts was not there together with it.
            moments += [(job.started_ms, 1), (job.finished_ms, -1)]
    most = now = 0
    for _, change in sorted(moments):
        now += change
        most = max(most, now)
    return most


def _faults_of(job: PlannedJob, found: Findings) -> list[str]:
    there = found.jobs.get(job.number)
    if there is None:
        return [f"job {job.number} was not accepted"]
    wrong: list[str] = []
    expected = ("failed", None, MEANT_TO_FAIL) if job.fails else ("completed", job.number, None)
    if (there.status, there.result, there.code) != expected:
        wrong.append(f"job {job.number} is {there.status} ({there.code or there.result}), and should be {expected[0]}")
    for place, times in (("first", 1), ("second", 0 if job.fails else 1)):
        effect = f"{job.number}/{place}"
        counted = found.effects.get(effect, 0)
        # A request whose answer did not come in time is sent again, with the same key; the journal says how often.
        if counted < times or counted > times * max(1, found.attempts.get(effect, 1)):
            wrong.append(f"the {place} effect of job {job.number} happened {counted} times, and should {times} times")
    return wrong


def _differences(what: str, found: Sequence[str], expected: Sequence[str]) -> list[str]:
    wrong: list[str] = []
    doubled = len(found) - len(set(found))
    if doubled:
        wrong.append(f"{what} {doubled} jobs twice")
    missing, strange = set(expected) - set(found), set(found) - set(expected)
    if missing:
        wrong.append(f"{what} {len(missing)} jobs too few, such as {min(missing)}")
    if strange:
        wrong.append(f"{what} {len(strange)} jobs too many, such as {min(strange)}")
    return wrong
