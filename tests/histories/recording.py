"""The moments at which journals are taken, and what the jobs come to after them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.testing import SimulatedJob, simulate
from tests.histories.samples import ALL, database

HERE = Path(__file__).parent
Moment = Callable[[SimulatedJob], object]


def _after(ms: int) -> Moment:
    return lambda job: job.time.advance(ms=ms)


#: By the name of the file: the workflow, its ``n``, and what is done before the journal is taken.
MOMENTS: Mapping[str, tuple[str, int, Moment]] = {
    "everyday-ended": ("everyday", 3, SimulatedJob.run),
    "looping-under-way": ("looping", 200, _after(900)),
    "looping-ended": ("looping", 40, SimulatedJob.run),
    "retried-under-way": ("retried", 1, _after(70_000)),
    "parallel-under-way": ("parallel", 3, _after(70_000)),
    "parallel-ended": ("parallel", 2, SimulatedJob.run),
    "waiting-under-way": ("waiting", 1, lambda job: job.deliver_event("go", {"by": "Ada"}).run()),
    "family-under-way": ("family", 5, _after(2_500)),
    "family-ended": ("family", 2, SimulatedJob.run),
    "failing-under-way": ("failing", 1, _after(20_000)),
    "failing-ended": ("failing", 1, SimulatedJob.run),
}


def record(name: str) -> str:
    """Return the history of a moment."""
    workflow, n, moment = MOMENTS[name]
    main = next(item for item in ALL if item.name == workflow)
    others = tuple(item for item in ALL if item is not main)
    with simulate(main, {"n": n}, also=others, database=database) as job:
        moment(job)
        return job.record()
