"""The parser service on the real runtime: it calls back over HTTP, one callback is lost, workerd is killed between."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from local.process import LocalStack, wait_until
from tests.embeddings.stub_server import StubServer
from tests.ingestion.samples import paragraphs
from tests.parser_service.stub import API_KEY, Call, Page, ParserStub
from tests.redis.stub import TOKEN, RedisStub
from tests.workerd.run import WAIT_S, Ingestion
from tests.workerd.scene import changed_configuration
from tests.workerd.test_crashes import kill

FILES, SITE = "cjob0000000000000000000001", "cjob0000000000000000000002"
#: Asked so soon that the lost callback costs the test no minutes.
POLL_MS = 1_500
LOST = "This document's callback is lost. "


class Outside:
    """The parser service and Redis, for a stack that is started with their addresses."""

    def __init__(self, servers: ExitStack) -> None:
        self.redis = RedisStub()
        self.redis_url = servers.enter_context(StubServer(self.redis)).url
        self.stack: LocalStack | None = None
        self.parser = ParserStub(self.redis.strings, self._put)
        #: Calls that the service has parsed and told the platform of.
        self.answered: list[Call] = []
        self.parser.accepted = self.answered.append
        self.parser_server = servers.enter_context(StubServer(self.parser))

    @property
    def variables(self) -> str:
        values = {
            "PARTITION_API_URL": self.parser_server.url,
            "PARTITION_API_KEY": API_KEY,
            "PARTITION_POLL_MS": str(POLL_MS),
            "REDIS_URL": self.redis_url,
            "REDIS_TOKEN": TOKEN,
        }
        return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())

    def call_back(self, call: Call) -> int:
        """Tell the platform what became of a call; return its answer's status."""
        assert self.stack is not None
        headers = {"authorization": f"Bearer {call.access_token}", "content-type": "application/json"}
        url = f"{self.stack.url}/api/v1/waitpoints/tokens/{call.token_id}/complete"
        body = json.dumps({"data": call.data}).encode()
        request = urllib.request.Request(url, body, headers, method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.loads(answer.read()) == {"success": True}
            return answer.status

    def _put(self, key: str, data: bytes) -> None:
        assert self.stack is not None
        self.stack.put_blob(key, data)


@pytest.fixture
def outside() -> Iterator[Outside]:
    with ExitStack() as servers:
        yield Outside(servers)


def is_lost(call: Call) -> bool:
    return LOST in str(call.body.get("text"))


def test_callbacks_a_lost_one_and_a_kill(outside: Outside, tmp_path: Path) -> None:
    items = [{"type": "TEXT", "text": text} for text in (paragraphs(140), "A short text.", LOST + paragraphs(5))]
    outside.parser.pages = [Page("kpage0000000000000000one", "x" * 1500, "https://example.com/1", {"page_url": "u"})]
    options = changed_configuration(tmp_path, "[limits]", f"[vars]\n{outside.variables}\n[limits]")
    with LocalStack(tmp_path / "state", arguments=options) as stack, Ingestion(stack) as ingestion:
        outside.stack = stack
        ingestion.tables.prepare()
        ingestion.tables.add_ingest_job(FILES, {"type": "BATCH", "items": items, "config": {"chunkSize": 64}})
        ingestion.tables.add_ingest_job(SITE, {"type": "CRAWL", "url": "https://example.com/"})
        jobs = [ingestion.start(each) for each in (FILES, SITE)]
        wait_until(lambda: len(outside.answered) >= 4, timeout_s=WAIT_S)
        # Everything waits for the outside; what is not on disk now is lost.
        kill(stack)
        for call in [call for call in outside.answered if not is_lost(call)]:
            assert outside.call_back(call) == 200
            assert outside.call_back(call) == 200
        ingestion.finish(FILES, SITE)
        assert [ingestion.ended(job).status for job in jobs] == ["completed"] * 2
        picture = ingestion.tables.picture()
        assert {row["status"] for row in [*picture.jobs, *picture.documents]} == {"COMPLETED"}
        assert len(picture.documents) == 4
        assert sum(1 for request in outside.parser_server.received if request.method == "GET") >= 1
        for document in picture.documents:
            rows = [row for row in picture.vectors if row["document_id"] == document["id"]]
            assert len(rows) == document["totalChunks"]
            file = json.loads(stack.get_blob(f"namespaces/nsone/documents/{document['id']}/chunks.json"))
            assert {f"{document['id']}#{chunk['id']}" for chunk in file["chunks"]} == {row["id"] for row in rows}
        # Removing them comes after the completion that was waited for.
        wait_until(lambda: not outside.redis.strings or len(outside.parser.calls) > 4, timeout_s=WAIT_S)
