"""What earlier releases recorded, in the hands of this one."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import JobContext, workflow
from orchestrator.lifecycle import JobStatus
from orchestrator.model import JobView
from orchestrator.testing import Simulation
from orchestrator.testing.histories import ReplayError, replay, restore
from tests.histories.recording import HERE, MOMENTS, record
from tests.histories.samples import ALL, Wish, add, database

FILES = sorted(HERE.glob("*/*.sql"))
#: What every job comes to, whatever release it was begun by.
ENDS: dict[str, tuple[JobStatus, object]] = {
    "looping-under-way": (JobStatus.COMPLETED, [19_900, "199", 200]),
    "retried-under-way": (JobStatus.COMPLETED, 3),
    "parallel-under-way": (JobStatus.COMPLETED, [0, 2, 4, 1, 2, 3]),
    "waiting-under-way": (JobStatus.COMPLETED, [{"by": "Ada"}, "signed"]),
    "family-under-way": (JobStatus.COMPLETED, [20, 5, 100]),
    "failing-under-way": (JobStatus.FAILED, None),
}


def of_kind(kind: str) -> list[Path]:
    return [path for path in FILES if path.stem.endswith(kind)]


def main_of(simulation: Simulation) -> JobView:
    views = [simulation.view(name) for name in simulation.objects]
    return next(view for view in views if view.parent_id is None)


def test_every_release_has_every_moment() -> None:
    folders = [path for path in HERE.iterdir() if path.is_dir() and not path.name.startswith("_")]
    assert folders
    for folder in folders:
        assert {path.stem for path in folder.glob("*.sql")} == MOMENTS.keys(), "python -m tests.histories"


@pytest.mark.parametrize("path", of_kind("-ended"), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_ended_jobs_are_replayed_to_the_same_end(path: Path) -> None:
    assert replay(path.read_text(), *ALL) >= 1


@pytest.mark.parametrize("path", of_kind("-under-way"), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_jobs_under_way_go_on_and_end_as_they_should(path: Path) -> None:
    with restore(path.read_text(), *ALL, database=database()) as simulation:
        job_id = main_of(simulation).id
        if path.stem.startswith("waiting"):
            simulation.advance(1_000)
            simulation.call(job_id, lambda engine: engine.complete_token("token", "signed"))
        simulation.run()
        view = simulation.view(job_id)
    assert (view.status, view.result) == ENDS[path.stem]


def test_a_journal_of_today_is_read_today() -> None:
    assert replay(record("everyday-ended"), *ALL) == 1


@workflow("everyday")
async def shorter(job: JobContext, payload: Wish) -> None:
    await job.step("add", add, 0, 0)


@workflow("everyday")
async def longer(job: JobContext, payload: Wish) -> None:
    await job.step("something else", add, 0, 0)


@workflow("everyday")
async def other(job: JobContext, payload: Wish) -> None:
    await job.sleep(1, name="add")


@workflow("failing")
async def forgiving(job: JobContext, payload: Wish) -> int:
    return await job.step("add", add, 1, 1)


@pytest.mark.parametrize(
    ("name", "changed", "says"),
    [
        ("everyday", shorter, r"the journal has what the code does no more: .*'book'"),
        ("everyday", longer, r"the code does what the journal does not know: .*'something else'"),
        ("everyday", other, r"recorded 'add' as step and the code now makes it sleep"),
        ("failing", forgiving, r"does no more: \['refuse'\]"),
    ],
)
def test_code_that_no_longer_does_what_it_did_is_told_so(name: str, changed: object, says: str) -> None:
    others = [item for item in ALL if item.name != name]
    with pytest.raises(ReplayError, match=says):
        replay(record(f"{name}-ended"), changed, *others)  # type: ignore[arg-type]


def test_something_else_is_no_history() -> None:
    with pytest.raises(ValueError, match="no history"):
        restore("create table job (id integer)", *ALL)
