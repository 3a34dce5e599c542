"""Scenario 4 of domain.md §9.4 with the parser service: stopped anywhere, what is left equals an undisturbed run."""

from __future__ import annotations

import msgspec
import pytest

from orchestrator.ports import Database
from tests.ingestion.faults import BucketCrash
from tests.ingestion.harness import Outcome, Picture, Row, Scenario, Stage
from tests.ingestion.samples import mapping, paragraphs
from tests.parser_service.harness import ParserWorld
from tests.parser_service.stub import Call, Page

#: A page within the quota, and one over it.
PAGES = [
    Page(f"page{at}", "x" * size, f"https://example.com/{at}", {"page_url": "u"}) for at, size in ((0, 1500), (1, 1000))
]
SITE = Scenario(payload={"type": "CRAWL", "url": "https://example.com"}, name="A site")
#: Two batches of chunks.
ONE = Scenario(payload={"type": "TEXT", "text": paragraphs(50)}, config={"chunkSize": 64}, name="One")


class Run(msgspec.Struct):
    """What a run leaves, without what may differ between two correct ones."""

    picture: Picture
    results: list[object]
    objects: list[str]


class Expected:
    """What an undisturbed run leaves."""

    def __init__(self, stage: Stage, service: ParserWorld, scenario: Scenario) -> None:
        self._stage, self._service, self._scenario = stage, service, scenario
        self.undisturbed = self.run()
        assert len(service.parser.calls) == 1
        self._left = left(self.undisturbed)

    def run(self, **crash: int) -> Outcome:
        self._service.reset()
        return self._stage.run(
            self._scenario,
            crash_at=(crash["write"],) if "write" in crash else (),
            crash_before_operation=crash.get("before", 0),
            crash_after_operation=crash.get("after", 0),
            prepare=little_is_left,
        )

    def assert_same(self, outcome: Outcome, when: str) -> None:
        found = left(outcome)
        for name in Picture.__struct_fields__:
            assert getattr(found.picture, name) == getattr(self._left.picture, name), f"{name}, crashed {when}"
        assert (found.results, found.objects) == (self._left.results, self._left.objects), when
        calls = self._service.parser.calls
        assert len(calls) <= 2, when
        for document in outcome.picture.documents:
            rows = [row for row in outcome.picture.vectors if row["document_id"] == document["id"]]
            ids = {str(row["id"]).partition("#")[2] for row in rows}
            assert any(ids <= call.chunk_ids for call in calls), f"chunks of several parses, crashed {when}"
            file = outcome.chunk_file(document["id"])
            kept = {str(chunk["id"]) for chunk in msgspec.convert(file["chunks"], list[Row])}
            assert kept == ids or not ids, f"the file of another parse, crashed {when}"
        # A call whose answer was lost with the crash is paid for, and its batches are nobody's: no other may remain.
        assert len(self._service.redis.strings) == sum(_batches(call.data) for call in calls[1:]), when


def left(outcome: Outcome) -> Run:
    picture = outcome.picture.settled()
    picture.events.sort(key=repr)
    for row in picture.vectors:
        row["id"] = mapping(row["metadata"])["sequence_number"]
    picture.vectors.sort(key=repr)
    return Run(picture, outcome.results(), sorted(outcome.objects))


def _batches(data: Row | None) -> int:
    assert data is not None
    return msgspec.convert(data.get("total_batches", 0), int)


@pytest.fixture(params=["document", "crawl"])
def scenario(request: pytest.FixtureRequest, service: ParserWorld) -> Scenario:
    service.parser.pages = PAGES
    return ONE if request.param == "document" else SITE


async def little_is_left(database: Database) -> None:
    await database.execute("""update organization set plan = 'free', "pagesLimit" = 10, "totalPages" = 8""")


def test_at_every_write(stage: Stage, service: ParserWorld, scenario: Scenario) -> None:
    expected = Expected(stage, service, scenario)
    assert expected.undisturbed.world.writes > 60
    for write in range(1, expected.undisturbed.world.writes + 1):
        outcome = expected.run(write=write)
        assert outcome.world.crashes >= 1
        expected.assert_same(outcome, f"before write {write}")


def test_before_every_database_operation(stage: Stage, service: ParserWorld, scenario: Scenario) -> None:
    expected = Expected(stage, service, scenario)
    for number in range(1, expected.undisturbed.operations + 1):
        outcome = expected.run(before=number)
        assert outcome.world.crashes >= 1
        expected.assert_same(outcome, f"before operation {number}")


def test_after_every_database_operation(stage: Stage, service: ParserWorld) -> None:
    expected = Expected(stage, service, ONE)
    for number in range(1, expected.undisturbed.operations + 1):
        expected.assert_same(expected.run(after=number), f"after operation {number}")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_at_every_bucket_operation(stage: Stage, service: ParserWorld, moment: str) -> None:
    """The second batch is lost, so that the rest is read from the file."""
    accept = service.parser.accepted

    def accepted(call: Call) -> None:
        accept(call)
        assert call.data is not None
        del service.redis.strings[str(call.data["batch_template"]).replace("[BATCH_INDEX]", "1")]

    service.parser.accepted = accepted
    bucket = BucketCrash(stage)
    expected = Expected(stage, service, ONE)
    assert bucket.operations >= 2
    for number in range(1, bucket.operations + 1):
        bucket.arm(**{moment: number})
        outcome = expected.run()
        assert outcome.world.crashes >= 1
        expected.assert_same(outcome, f"{moment} bucket operation {number}")
