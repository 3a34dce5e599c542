"""A job's object stops at any write or database operation: what is left equals an undisturbed run (§9.4 scenario 4)."""

from __future__ import annotations

import pytest

from tests.ingestion.faults import BucketCrash
from tests.ingestion.harness import Outcome, Picture, Scenario, Stage
from tests.ingestion.samples import CHUNKED, paragraphs

KEY = "namespaces/nsone/two-AbC1.md"
#: A document of each outcome, small: every run of it takes a hundred crashes.
BATCH = Scenario(
    payload={
        "type": "BATCH",
        "items": [
            {"type": "TEXT", "text": paragraphs(3), "fileName": "one.txt"},
            {"type": "MANAGED_FILE", "key": KEY, "config": CHUNKED},
            {"type": "MANAGED_FILE", "key": "namespaces/nsone/missing.txt"},
        ],
    },
    blobs={KEY: ("# Title\n\n" + paragraphs(5)).encode()},
    name="A batch",
    tenant_id="tenant1",
)
#: One document of several batches of chunks: the loop's own checkpoints are crashed at, too.
LONG = Scenario(payload={"type": "TEXT", "text": paragraphs(150)}, config=CHUNKED)
SCENARIOS = {"batch": BATCH, "long": LONG}


class Expected:
    """What an undisturbed run leaves."""

    def __init__(self, stage: Stage, scenario: Scenario) -> None:
        self.undisturbed = stage.run(scenario)
        self._picture = _comparable(self.undisturbed.picture)
        self._results = self.undisturbed.results()
        self._objects = self.undisturbed.objects

    def assert_same(self, outcome: Outcome, when: str) -> None:
        assert outcome.world.crashes >= 1
        found = _comparable(outcome.picture)
        assert found.jobs == self._picture.jobs, when
        assert found.documents == self._picture.documents, when
        assert (found.namespace, found.organization) == (self._picture.namespace, self._picture.organization), when
        assert found.vectors == self._picture.vectors, when
        assert found.events == self._picture.events, when
        assert outcome.results() == self._results, when
        assert outcome.objects == self._objects, when


def _comparable(picture: Picture) -> Picture:
    """Return the picture without times, and without the order of events that documents side by side make."""
    settled = picture.settled()
    settled.events.sort(key=repr)
    return settled


def test_the_journal_crashes_at_every_write(stage: Stage) -> None:
    expected = Expected(stage, BATCH)
    assert expected.undisturbed.world.writes > 100
    for write in range(1, expected.undisturbed.world.writes + 1):
        expected.assert_same(stage.run(BATCH, crash_at=(write,)), f"crashed before write {write}")


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_object_crashes_at_every_database_operation(stage: Stage, name: str, moment: str) -> None:
    scenario = SCENARIOS[name]
    expected = Expected(stage, scenario)
    assert expected.undisturbed.operations > 20
    for number in range(1, expected.undisturbed.operations + 1):
        before, after = (number, 0) if moment == "before" else (0, number)
        outcome = stage.run(scenario, crash_before_operation=before, crash_after_operation=after)
        expected.assert_same(outcome, f"crashed {moment} operation {number}")


@pytest.mark.parametrize("always_replay", [False, True])
def test_a_long_document_crashes_twice(stage: Stage, always_replay: bool) -> None:
    expected = Expected(stage, LONG)
    for write in range(1, expected.undisturbed.world.writes + 1, 2):
        outcome = stage.run(LONG, crash_at=(write, write + 9), always_replay=always_replay)
        expected.assert_same(outcome, f"crashed before writes {write} and {write + 9}")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_object_crashes_at_every_bucket_operation(stage: Stage, moment: str) -> None:
    """The long document's ``chunks.json`` is kept in pieces, joined, and the pieces dropped."""
    bucket = BucketCrash(stage)
    expected = Expected(stage, LONG)
    assert bucket.operations >= 6
    for number in range(1, bucket.operations + 1):
        bucket.arm(**{moment: number})
        expected.assert_same(stage.run(LONG), f"crashed {moment} bucket operation {number}")
