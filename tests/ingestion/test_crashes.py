"""A job's object stops at any write or database operation: what is left equals an undisturbed run (§9.4 scenario 4)."""

from __future__ import annotations

import pytest

from tests.ingestion.harness import Outcome, Scenario, Stage
from tests.ingestion.samples import CHUNKED, mixed, paragraphs

#: One document of several batches of chunks: the loop's own checkpoints are crashed at, too.
LONG = Scenario(payload={"type": "TEXT", "text": paragraphs(150)}, config=CHUNKED)
SCENARIOS = {"batch": mixed(failing=True), "long": LONG}


def test_the_journal_crashes_at_every_write(stage: Stage) -> None:
    scenario = mixed(failing=True)
    undisturbed = stage.run(scenario)
    assert undisturbed.world.writes > 100
    for write in range(1, undisturbed.world.writes + 1):
        outcome = stage.run(scenario, crash_at=(write,))
        assert outcome.world.crashes == 1
        assert_same(outcome, undisturbed, f"crashed before write {write}")


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_object_crashes_at_every_database_operation(stage: Stage, name: str, moment: str) -> None:
    scenario = SCENARIOS[name]
    undisturbed = stage.run(scenario)
    assert undisturbed.operations > 20
    for number in range(1, undisturbed.operations + 1):
        before, after = (number, 0) if moment == "before" else (0, number)
        outcome = stage.run(scenario, crash_before_operation=before, crash_after_operation=after)
        assert outcome.world.crashes == 1
        assert_same(outcome, undisturbed, f"crashed {moment} operation {number}")


@pytest.mark.parametrize("always_replay", [False, True])
def test_a_long_document_crashes_at_every_write(stage: Stage, always_replay: bool) -> None:
    undisturbed = stage.run(LONG)
    for write in range(1, undisturbed.world.writes + 1):
        outcome = stage.run(LONG, crash_at=(write, write + 9), always_replay=always_replay)
        assert outcome.world.crashes >= 1
        assert_same(outcome, undisturbed, f"crashed before writes {write} and {write + 9}")


def assert_same(outcome: Outcome, undisturbed: Outcome, when: str) -> None:
    found, expected = outcome.picture.settled(), undisturbed.picture.settled()
    assert found.jobs == expected.jobs, when
    assert found.documents == expected.documents, when
    assert (found.namespace, found.organization) == (expected.namespace, expected.organization), when
    assert found.vectors == expected.vectors, when
    assert sorted(map(repr, found.events)) == sorted(map(repr, expected.events)), when
    assert outcome.results() == undisturbed.results(), when
