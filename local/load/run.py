"""Drives the load test over HTTP, as any caller would."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final, Literal, TypeVar

from local.load.plan import TAG, FoundJob, Plan, PlannedJob
from local.process import LocalStack, wait_until
from orchestrator.client import Client, NewJob
from orchestrator.client.operator_answers import DeadLetter
from orchestrator.client.retries import NO_RETRIES

T = TypeVar("T")
R = TypeVar("R")

#: Requests under way at the same time.
CALLERS: Final = 8
QUEUE: Final = "orchestrator-default-queue"
DEAD_LETTER_QUEUE: Final = "orchestrator-dead-letter-queue"
_NOBODY: Final = "run_00000000000000000000000000"
_ENDED = re.compile(r'^orchestrator_jobs_ended_total\{workflow="load-test",outcome="([a-z]+)"\} ([0-9]+)$', re.M)


class Caller:
    """Calls a running stack.

    Args:
        stack: the stack.
        counter_url: where jobs count their effects.
        timeout_s: how long a request, and the end of all jobs, may take.
    """

    def __init__(self, stack: LocalStack, counter_url: str, timeout_s: float) -> None:
        self._stack = stack
        self._counter_url = counter_url
        self._timeout_s = timeout_s
        self._client = Client(stack.url, stack.api_key, retries=NO_RETRIES, timeout_s=timeout_s)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def start(self, jobs: Sequence[PlannedJob], *, mode: Literal["queue", "direct"]) -> dict[int, str]:
        """Record jobs in one request; return the ids of those that were accepted, by number."""
        wanted = [
            NewJob(
                "load-test",
                {
                    "number": job.number,
                    "counter_url": self._counter_url,
                    "waits": job.waits,
                    "sleep_ms": job.sleep_ms,
                    "fails": job.fails,
                },
                {"idempotency_key": job.key, "tags": [TAG], "mode": mode},
            )
            for job in jobs
        ]
        results = self._client.enqueue_many(wanted).results
        return {job.number: item.id for job, item in zip(jobs, results, strict=True) if item.id is not None}

    def release(
        self, jobs: Sequence[PlannedJob], ids: Mapping[int, str], counted: Callable[[], Mapping[str, int]]
    ) -> None:
        """Wait until all of these jobs are under way, then tell them to go on.

        Raises:
            TimeoutError: they did not all begin in time.
        """
        begun = {f"{job.number}/first" for job in jobs if job.number in ids}
        wait_until(lambda: begun <= counted().keys(), timeout_s=self._timeout_s, every_s=0.05)
        _in_turns([ids[job.number] for job in jobs if job.number in ids], self._go)

    def repeat(self, jobs: Sequence[PlannedJob], ids: Mapping[int, str]) -> None:
        """Ask for jobs again, and deliver their queue messages again, in any order."""
        self.start(jobs, mode="queue")
        bodies = [{"id": ids[job.number]} for job in jobs]
        for start in range(0, len(bodies), 50):
            self._stack.deliver(QUEUE, *bodies[start : start + 50])

    def spoil(self, malformed: int, unknown: int) -> None:
        """Put messages into the queues that nobody can hand over."""
        self._stack.deliver(QUEUE, *({"number": number} for number in range(malformed)))
        self._stack.deliver(DEAD_LETTER_QUEUE, *({"id": _NOBODY[: -len(str(n))] + str(n)} for n in range(unknown)))

    def ended(self) -> dict[str, int]:
        """Return how many jobs have ended, by outcome, as the metrics say."""
        return {outcome: int(count) for outcome, count in _ENDED.findall(self._client.metrics())}

    def wait_for(self, plan: Plan, ids: Iterable[str]) -> None:
        """Wait until the metrics count every job; jobs that end are what is waited for, not time.

        Raises:
            TimeoutError: they did not end in time.
        """
        wait_until(lambda: sum(self.ended().values()) >= len(plan.jobs), timeout_s=self._timeout_s, every_s=0.25)
        waiting = set(ids)
        wait_until(lambda: waiting <= set(self.listed()), timeout_s=self._timeout_s, every_s=0.25)

    def found(self, ids: Mapping[int, str]) -> dict[int, FoundJob]:
        """Return each job from its own object."""
        return dict(zip(ids, _in_turns(ids.values(), self._job), strict=True))

    def attempts(self, ids: Mapping[int, str], effects: Mapping[str, int]) -> dict[str, int]:
        """Return the attempts of the steps whose effects happened more than once, by the effects' names."""
        found: dict[str, int] = {}
        for number in {int(name.partition("/")[0]) for name, count in effects.items() if count > 1}:
            steps = self._client.get_steps(ids[number])
            found |= {f"{number}/{step.key.partition('#')[0]}": step.attempt for step in steps}
        return found

    def listed(self) -> list[str]:
        """Return the ids of every job that the catalog lists."""
        return [job.id for job in self._client.search_jobs(tag=TAG)]

    def letters(self, kind: Literal["job", "message"]) -> list[DeadLetter]:
        """Return the dead letters of a kind."""
        return list(self._client.dead_letters(kind=kind))

    def _go(self, job_id: str) -> None:
        self._client.send_event(job_id, "go")

    def _job(self, job_id: str) -> FoundJob:
        job = self._client.get_job(job_id)
        return FoundJob(
            id=job.id,
            status=job.status,
            result=job.result,
            code=None if job.error is None else job.error.code,
            created_ms=_ms(job.created_at) or 0,
            started_ms=_ms(job.started_at),
            finished_ms=_ms(job.finished_at),
            attempts=job.attempts,
            crashes=job.crashes,
        )


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Run something; return what it returns, and how long it took in seconds."""
    began = time.monotonic()
    result = work()
    return result, time.monotonic() - began


def _in_turns(items: Iterable[T], act: Callable[[T], R]) -> list[R]:
    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(act, items))


def _ms(time: datetime | None) -> int | None:
    return None if time is None else round(time.timestamp() * 1000)
