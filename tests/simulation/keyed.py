"""Calls with one idempotency key: what each was answered, and whether that fits together."""

from __future__ import annotations

import itertools
from typing import cast

import msgspec

from orchestrator.lifecycle import JobStatus
from orchestrator.model import Created, CreateJob, JobOptions, JobView
from orchestrator.reuse import keyed_job_id
from orchestrator.testing.simulation import Simulation
from tests.simulation.author import payload_of
from tests.simulation.program import Job, Keyed, Step

#: The key's jobs do this.
BODY = Job((Step(ms=5),))
KEY, WORKFLOW = "the key", "plain"
#: With every call asked again and again, a key has no more jobs than this.
MOST_GENERATIONS = 60


class Call(msgspec.Struct, frozen=True):
    """One call, and what it was answered."""

    number: int
    sent_ms: int
    job_id: str
    deduplicated: bool


class KeyedCalls:
    """Makes the calls, each after the one before was answered.

    Args:
        simulation: where.
        wish: the calls.
    """

    def __init__(self, simulation: Simulation, wish: Keyed) -> None:
        self._simulation = simulation
        self._wish = wish
        self._calls: list[Call] = []
        #: How often each call's steps ran to their end, at least.
        self.paths = [self._path(number) for number in range(len(wish.waits_ms))]

    async def make(self) -> None:
        """Make the calls."""
        simulation = self._simulation
        for number, wait_ms in enumerate(self._wish.waits_ms):
            await simulation.sleep(wait_ms)
            sent_ms = simulation.clock.now_ms()
            created = await self._record(number)
            self._calls.append(Call(number, sent_ms, created.id, created.deduplicated))

    def _path(self, number: int) -> str:
        """Calls of a debounced key differ, and the last one counts; others with one key are the same."""
        return f"key {number if self._wish.debounce_ms else 0}"

    async def _record(self, number: int) -> Created:
        """Follow the key from its first job to the one that answers for it, as the API does."""
        wish, generation = self._wish, 0
        options = JobOptions(
            idempotency_key=KEY,
            idempotency_window_ms=wish.window_ms,
            debounce_ms=wish.debounce_ms,
            mode="queue" if wish.window_ms else "direct",
        )
        while True:
            request = CreateJob(
                job_id=keyed_job_id(WORKFLOW, KEY, generation),
                workflow=WORKFLOW,
                payload=payload_of(BODY, self._path(number)),
                options=options,
                generation=generation,
            )
            created = await self._simulation.client.create(request)
            if created.successor is None:
                return created
            generation = created.successor

    def judge(self) -> set[str]:
        """Hold the answers against each other and the jobs; return the paths that were to be walked."""
        simulation, must = self._simulation, set[str]()
        hosts = [simulation.objects.get(job_id) for job_id in self._possible_ids()]
        views = {host.name: simulation.view(host.name) for host in hosts if host is not None and host.journal.exists()}
        for view in views.values():
            assert view.status is JobStatus.COMPLETED, f"{view.id} of the key is {view.status}"
            walked = str(cast("list[object]", view.result)[0])
            numbers = [call.number for call in self._calls if call.job_id == view.id]
            asked = [f"{path}/0" for path in self.paths]
            assert walked in asked, f"a job did {walked}, and was asked for {asked}"
            # A caller that was not answered asks again, and may then be answered by a later job.
            late = not numbers or self._repeats() or asked.index(walked) >= asked.index(asked[numbers[-1]])
            assert late, f"a job did {walked}, and was asked for {asked[numbers[-1]]} after that"
            assert numbers == list(range(numbers[0], numbers[-1] + 1)) if numbers else True, "a key went back"
            must.add(walked)
        assert all(call.job_id in views for call in self._calls), "a call was answered with a job that is none"
        self._judge_window(list(views.values()))
        return must

    def _judge_window(self, views: list[JobView]) -> None:
        window_ms = self._wish.window_ms
        if not window_ms and not self._wish.debounce_ms:
            assert len(views) == 1, "one key, and more than one job"
        if not window_ms:
            return
        created_ms = [view.created_at_ms for view in views]
        gaps = [later - earlier for earlier, later in itertools.pairwise(created_ms)]
        assert all(gap >= window_ms for gap in gaps), f"new jobs of the key after {gaps} ms, within {window_ms}"
        by_id = {view.id: view for view in views}
        for call in self._calls:
            age_ms = call.sent_ms - by_id[call.job_id].created_at_ms
            assert age_ms < window_ms, f"a call was answered with a job {age_ms} ms old; the key lasts {window_ms}"

    def _possible_ids(self) -> list[str]:
        """Every job that the key can have meant, the first one first."""
        return [keyed_job_id(WORKFLOW, KEY, generation) for generation in range(MOST_GENERATIONS)]

    def _repeats(self) -> bool:
        """Tell whether a call came again after a later one, which nothing can tell from a new one."""
        return any(fault.kind == "call_twice" for fault in self._simulation.plan.struck)
