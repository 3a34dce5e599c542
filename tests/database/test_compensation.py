"""Database effects that are undone: each exactly once, whatever crashes."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from durable.postgres import AsyncpgDatabase
from orchestrator import Connection, JobContext, NonRetryableError, workflow
from orchestrator.lifecycle import JobStatus
from orchestrator.model import RetryJob
from orchestrator.testing import World
from tests.database.support import value


class Order(BaseModel):
    amount: int = 5


mood = {"refuses": True}


async def move(connection: Connection, amount: int) -> int:
    await connection.execute("update account set balance = balance + $1, moves = moves + 1", amount)
    return amount


async def ship() -> str:
    if mood["refuses"]:
        raise NonRetryableError("nothing in stock", code="sold_out")
    return "shipped"


@workflow("ordering")
async def ordering(job: JobContext, payload: Order) -> str:
    await job.transaction("charge", move, -payload.amount)
    job.compensate_transaction("refund", move, payload.amount)
    return await job.step("ship", ship)


def test_what_a_transaction_did_is_taken_back_exactly_once_and_done_again_by_a_retry(url: str) -> None:
    def run(*crash_at: int) -> tuple[int, list[object]]:
        """Fail, then retry with success; return the world's writes, and the account after each."""
        world = World(ordering, database=lambda: database)
        world.crash_at(*crash_at)
        database = AsyncpgDatabase(url)

        async def end() -> list[object]:
            seen: list[object] = []
            await database.execute("create table if not exists account (balance int, moves int)")
            await database.execute("delete from account")
            await database.execute("insert into account values (100, 0)")
            mood["refuses"] = True
            job_id = world.start("ordering", {})
            await world.run()
            assert world.view(job_id).status is JobStatus.FAILED
            seen += [await value(database, f"select {column} from account") for column in ("balance", "moves")]
            mood["refuses"] = False
            world.call(job_id, lambda engine: engine.retry(RetryJob()))
            await world.run()
            assert world.view(job_id).result == "shipped"
            seen += [await value(database, f"select {column} from account") for column in ("balance", "moves")]
            await database.close()
            return seen

        # Ids are those of a seed: the ledger must not know the job of the run before.
        asyncio.run(forget(url))
        seen = asyncio.run(end())
        return world.writes, seen

    writes, seen = run()
    assert seen == [100, 2, 95, 3]
    for write in range(1, writes + 1, 2):
        assert run(write)[1] == seen, f"crashed before write {write}"


async def forget(url: str) -> None:
    database = AsyncpgDatabase(url)
    await database.execute("delete from wf.effect")
    await database.close()
