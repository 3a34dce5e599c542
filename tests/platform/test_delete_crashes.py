"""An object stops at every write and database operation of deletes: what is left equals the undisturbed run (§9.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

import msgspec
import pytest

from tests.platform import scene
from tests.platform.picture import Row, differences
from tests.platform.stage import Outcome, Play, Stage


class Case(msgspec.Struct, frozen=True):
    """A job, and how much of the scene it is played on: each run is repeated for every crash."""

    workflow: str
    payload: Row
    #: The ingest jobs that are there.
    ingest_jobs: Sequence[str]
    #: The documents that are there; every one of those ingest jobs unless told otherwise.
    documents: Sequence[str] = ()


#: Smaller jobs, and these on the whole scene, are stopped in ``test_every_workflow.py``.
CASES = {
    "ingest job": Case(
        "delete-ingest-job", {"jobId": scene.BATCH}, [scene.BATCH], [scene.TEXT_DOCUMENT, scene.PAGED_DOCUMENT]
    ),
    "namespace": Case("delete-namespace-job", {"namespaceId": scene.NAMESPACE}, [scene.TENANT_JOB]),
    "organization": Case("delete-organization-job", {"organizationId": scene.ORGANIZATION}, []),
    "re-ingestion": Case("re-ingest-job", {"jobId": scene.TENANT_JOB}, [scene.TENANT_JOB]),
}

_PRUNE: Sequence[LiteralString] = (
    "delete from ingest_job where id <> all($1::text[])",
    "delete from document where cardinality($1::text[]) > 0 and id <> all($1::text[])",
    # An organization's own part is what is looked at: a single, empty namespace will do.
    """delete from namespace where id not in (select "namespaceId" from ingest_job) and id <> 'nsthree'""",
)


class Expected:
    """What the undisturbed run leaves."""

    def __init__(self, stage: Stage, case: Case) -> None:
        self._stage, self._case = stage, case
        self.undisturbed = self._play()
        assert self.undisturbed.view.status == "completed", self.undisturbed.view.error
        assert differences(self.undisturbed.picture, self.undisturbed.before) != []

    def assert_same(self, when: str, *, crash_at: int = 0, crash_after_operation: int = 0) -> None:
        outcome = self._play(crash_at=crash_at, crash_after_operation=crash_after_operation)
        assert outcome.world.crashes >= 1, when
        assert differences(outcome.picture, self.undisturbed.picture) == [], when
        assert outcome.results() == self.undisturbed.results(), when

    def _play(self, *, crash_at: int = 0, crash_after_operation: int = 0) -> Outcome:
        return self._stage.run(
            self._case.workflow,
            self._case.payload,
            prepare=self._prune,
            crash_at=[crash_at] if crash_at else [],
            crash_after_operation=crash_after_operation,
        )

    async def _prune(self, play: Play) -> None:
        for statement, kept in zip(_PRUNE, (self._case.ingest_jobs, self._case.documents, None), strict=True):
            await play.admin.execute(statement, *([] if kept is None else [list(kept)]))


@pytest.mark.parametrize("name", CASES)
def test_the_journal_crashes_at_every_write(stage: Stage, name: str) -> None:
    expected = Expected(stage, CASES[name])
    assert expected.undisturbed.world.writes > 20
    for write in range(1, expected.undisturbed.world.writes + 1):
        expected.assert_same(f"crashed before write {write}", crash_at=write)


@pytest.mark.parametrize("name", CASES)
def test_the_object_crashes_after_every_database_operation(stage: Stage, name: str) -> None:
    """Right before an operation is right after the one before: nothing is written in between but what is crashed at."""
    expected = Expected(stage, CASES[name])
    assert expected.undisturbed.operations > 3
    for number in range(1, expected.undisturbed.operations + 1):
        expected.assert_same(f"crashed after operation {number}", crash_after_operation=number)
