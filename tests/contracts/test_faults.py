"""Every service, every fault: whatever goes wrong on the way, a step gets over it, or fails for good and says why.

Real sockets on loopback; each call is a step of a job, so that what is tried again is tried again by the engine.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec
import pytest
from pydantic import BaseModel

from local.http import HttpxHttp
from orchestrator import JobContext, RetryPolicy, workflow
from orchestrator.lifecycle import JobStatus
from orchestrator.model import JobView
from orchestrator.ports import Database, Http, HttpResponse
from orchestrator.testing import World
from orchestrator.testing.blobs import MemoryBlobs
from steps.services import Services, Settings
from tests.contracts.services import Contract, contracts
from tests.embeddings.stub_server import Reply, StubServer, json_reply

CONTRACTS = list(contracts())
WRONG_KEY = "wrong-Key-0123456789"
#: Answered by its status alone: what follows is not read.
BY_STATUS = "turbopuffer: drop"
#: Its trouble is one answer among others, and the workflow asks again.
POLL = "parser: poll"

PASSING: Mapping[str, Reply] = {
    "rate limit": json_reply({"error": "slow down"}, 429, retry_after="7"),
    "502 of a proxy": Reply(502, b"<html>Bad Gateway</html>", {"content-type": "text/html"}),
    "503": json_reply({"message": "overloaded"}, 503),
    "timeout": Reply(hang=True),
    "cut connection": Reply(200, b"{}" * 50, cut_at=20),
    "half an answer": Reply(200, b'{"data": [{"'),
    "nothing": Reply(200, b""),
}
FINAL: Mapping[str, Reply] = {
    "bad request": json_reply({"error": {"message": "That is wrong"}}, 400),
    "payment": json_reply({"message": "That is wrong"}, 402),
    "forbidden": json_reply({"detail": "That is wrong"}, 403),
    "too large": json_reply({"error": "That is wrong"}, 413),
    "unprocessable": json_reply({"error": "That is wrong"}, 422),
}


class Nothing(BaseModel):
    pass


class Impatient:
    """An ``Http`` that waits for answers that do not come no longer than a test should.

    Args:
        http: the way out.
        faults: what the first requests meet.
    """

    def __init__(self, http: Http, faults: Sequence[Reply]) -> None:
        self._http = http
        self._faults = deque(faults)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_ms: int = 30_000,
        max_body_bytes: int = 16_000_000,
    ) -> HttpResponse:
        if self._faults and self._faults.popleft().hang:
            timeout_ms = 150
        return await self._http.request(
            method, url, headers=headers, body=body, timeout_ms=timeout_ms, max_body_bytes=max_body_bytes
        )


def no_database() -> Database:
    raise AssertionError("no call to a service needs the database")


class Ended(msgspec.Struct, frozen=True):
    """How a call ended."""

    view: JobView
    #: When each request came, in the world's time.
    came_ms: list[int]
    #: Everything that is kept or shown of it.
    kept: str


def run(contract: Contract, faults: Sequence[Reply], key: str | None = None, attempts: int = 3) -> Ended:
    """Make the call in a job, after these faults."""
    came_ms: list[int] = []
    retry = RetryPolicy(max_attempts=attempts, jitter="none", max_interval_ms=2_000)

    async def body() -> Ended:
        async with HttpxHttp() as http:
            way_out = Impatient(http, faults)

            @workflow("contract")
            async def calling(job: JobContext, payload: Nothing) -> object:
                del payload
                return await job.options(retry=retry).step("call", call)

            async def call() -> object:
                came_ms.append(world.clock.now_ms())
                return msgspec.to_builtins(await contract.call(way_out, server.url, key or contract.key))

            services = Services(
                settings=Settings(),
                http=way_out,
                blobs=MemoryBlobs(),
                images=MemoryBlobs(),
                assets=MemoryBlobs(),
                database=no_database,
            )
            world = World(calling, services=services)
            job_id = world.start("contract", {})
            await world.run()
            tables = world.objects[job_id].sql
            names = [str(row[0]) for row in tables.execute("select name from sqlite_master where type = 'table'")]
            rows = [tables.execute(f"select * from {name}") for name in names]  # type: ignore[arg-type]
            view = world.view(job_id)
            return Ended(view, came_ms, repr((rows, view, world.logs)))

    with StubServer(contract.stub()) as server:
        server.faults.extend(faults)
        return asyncio.run(body())


@pytest.fixture(params=CONTRACTS, ids=lambda contract: contract.name)
def contract(request: pytest.FixtureRequest) -> Contract:
    found: Contract = request.param
    return found


def test_every_call_is_accepted_by_its_service(contract: Contract) -> None:
    ended = run(contract, [])
    assert (ended.view.status, len(ended.came_ms)) == (JobStatus.COMPLETED, 1), ended.view.error
    assert contract.key not in ended.kept


def test_what_passes_is_waited_for(contract: Contract) -> None:
    """All of it, one after the other, in one step."""
    faults = {name: fault for name, fault in PASSING.items() if contract.name != BY_STATUS or fault.status != 200}
    ended = run(contract, list(faults.values()), attempts=len(faults) + 1)
    assert ended.view.status is JobStatus.COMPLETED, ended.view.error
    assert len(ended.came_ms) == len(faults) + 1
    waits = dict(zip(faults, [after - before for before, after in pairwise(ended.came_ms)], strict=True))
    assert waits["rate limit"] >= (1_000 if contract.name == POLL else 7_000)
    assert min(waits.values()) >= 1_000
    assert contract.key not in ended.kept


def test_what_does_not_pass_fails_in_the_end(contract: Contract) -> None:
    ended = run(contract, [json_reply({"message": f"overloaded, {contract.key}"}, 503)] * 3)
    assert (ended.view.status, len(ended.came_ms)) == (JobStatus.FAILED, 3)
    assert contract.key not in ended.kept


def test_a_refusal_is_final_and_says_why(contract: Contract) -> None:
    for fault in FINAL.values():
        ended = run(contract, [fault] * 3)
        error = ended.view.error
        assert error is not None
        assert error.code == contract.refused
        assert "That is wrong" in f"{error.message} {error.cause}"
        assert len(ended.came_ms) == (3 if contract.name == POLL else 1)


def test_a_wrong_key_is_refused_and_not_shown(contract: Contract) -> None:
    ended = run(contract, [], key=WRONG_KEY)
    error = ended.view.error
    assert error is not None
    assert error.code == contract.refused
    assert WRONG_KEY not in ended.kept
