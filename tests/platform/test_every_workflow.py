"""Every registered workflow, stopped at every point or an even choice of many: it leaves what an undisturbed run does.

Nothing here names a workflow: a new module in ``steps/`` is covered by the example of its payload, or by a value made
from its schema. The example's ids are those of the standard scene.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

import pytest

import steps
from orchestrator.workflow import Workflow, discover
from tests.platform import picture
from tests.platform.examples import example_of
from tests.platform.stage import Outcome, Stage

WORKFLOWS = sorted(discover(steps), key=lambda item: item.name)
#: More points than this are chosen from, and at least so many of them are taken.
MOST, SOME = 80, 20
#: Unix ms, and ISO 8601.
_TIMES = re.compile(r"\b1[67]\d{11}\b|\b20\d\d-\d\d-\d\dT[\d:.]+Z?")


@pytest.fixture(params=WORKFLOWS, ids=lambda item: item.name)
def workflow(request: pytest.FixtureRequest) -> Workflow:
    found: Workflow = request.param
    return found


def points(count: int) -> Iterable[int]:
    """Return the points to stop at: every one, or an even choice of them where a workflow deletes half the scene.

    Those are stopped at every point of less (``test_delete_crashes.py``), and at every one of all by ``make points``.
    """
    return range(1, count + 1, 1 if count <= MOST or "EVERY_POINT" in os.environ else count // SOME)


def comparable(outcome: Outcome) -> list[str]:
    """Return how every job ended, without times: they may differ between two correct runs."""
    return [_TIMES.sub("a time", repr(item)) for item in outcome.results()]


def assert_same(outcome: Outcome, undisturbed: Outcome, when: str) -> None:
    assert comparable(outcome) == comparable(undisturbed), when
    found = picture.differences(outcome.picture, undisturbed.picture)
    assert not found, "\n".join([when, *found])


def test_replayed_after_every_slice(stage: Stage, workflow: Workflow) -> None:
    payload = example_of(workflow)
    assert_same(stage.run(workflow.name, payload, always_replay=True), stage.run(workflow.name, payload), "replayed")


def test_stopped_before_every_write(stage: Stage, workflow: Workflow) -> None:
    payload = example_of(workflow)
    undisturbed = stage.run(workflow.name, payload)
    assert undisturbed.world.writes >= 5
    for write in points(undisturbed.world.writes):
        outcome = stage.run(workflow.name, payload, crash_at=(write,))
        assert outcome.world.crashes >= 1
        assert_same(outcome, undisturbed, f"stopped before write {write}")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_stopped_at_every_database_operation(stage: Stage, workflow: Workflow, moment: str) -> None:
    payload = example_of(workflow)
    undisturbed = stage.run(workflow.name, payload)
    for number in points(undisturbed.operations):
        before, after = (number, 0) if moment == "before" else (0, number)
        outcome = stage.run(workflow.name, payload, crash_before_operation=before, crash_after_operation=after)
        assert_same(outcome, undisturbed, f"stopped {moment} operation {number}")
