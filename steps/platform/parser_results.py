"""What the parser service is doing, which of its results a document is made of, and where the batches are (W-09)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from orchestrator.ports import Connection
from steps.platform.rows import row_as

#: Stands for the batch's number in a template (domain.md §3.2).
BATCH_INDEX = "[BATCH_INDEX]"


class Parse(msgspec.Struct, frozen=True, kw_only=True):
    """A parse that the service has begun, or may have.

    Attributes:
        kind: ``ingest``, ``crawl`` or ``youtube``.
        namespace_id: where it writes.
        document_id: what it writes; None when it finds documents of its own.
        call_id: the service's name for it; empty while its answer is not known, which may be for ever.
        lost: there may be an earlier one beside it, whose answer was lost.
    """

    kind: Literal["ingest", "crawl", "youtube"]
    namespace_id: str
    document_id: str | None = None
    call_id: str = ""
    lost: bool = False


class BatchKeys(msgspec.Struct, frozen=True):
    """The Redis keys of a result.

    Attributes:
        batch_template: their name, with the batch's number left open.
        total_batches: how many there are.
    """

    batch_template: str
    total_batches: int

    def all(self) -> list[str]:
        """Return every key."""
        return self.some(0, self.total_batches)

    def some(self, first: int, count: int) -> list[str]:
        """Return the keys of up to ``count`` batches from ``first`` on."""
        numbers = range(first, min(first + count, self.total_batches))
        return [self.batch_template.replace(BATCH_INDEX, str(number)) for number in numbers]


async def expect_parse(connection: Connection, run_id: str, parse: Parse) -> bool:
    """Write down, before the service is asked, that a run has a parse under way; tell whether it may have another one.

    Whoever fails or stops the run has to see to what it will leave, also when nobody heard the service's answer.
    """
    row = await connection.fetchrow(
        """with before as (select result from wf.effect where key = $1)
        insert into wf.effect (key, result) values ($1, $2)
        on conflict (key) do update set result = excluded.result returning (select result from before) as before""",
        _parse_key(run_id),
        msgspec.msgpack.encode(parse),
    )
    if row is None or row["before"] is None:
        return False
    before = _decoded(row["before"])
    return before.lost or not before.call_id


async def note_parse(connection: Connection, run_id: str, parse: Parse) -> None:
    """Write down what is known by now of the parse that a run has under way."""
    await connection.execute(
        "update wf.effect set result = $2 where key = $1", _parse_key(run_id), msgspec.msgpack.encode(parse)
    )


async def parse_of(connection: Connection, run_id: str) -> Parse | None:
    """Return the parse that a run has under way, if it has one."""
    row = await connection.fetchrow("select result from wf.effect where key = $1", _parse_key(run_id))
    return None if row is None else _decoded(row["result"])


async def forget_parse(connection: Connection, run_id: str) -> None:
    """Say that a run's parse has ended, or never began."""
    await connection.execute("delete from wf.effect where key = $1", _parse_key(run_id))


async def end_parse(connection: Connection, run_id: str) -> None:
    """Say that the documents exist which a run's parse has found; one whose answer was lost may go on."""
    parse = await parse_of(connection, run_id)
    if parse is not None and parse.lost:
        await note_parse(connection, run_id, msgspec.structs.replace(parse, call_id=""))
    else:
        await forget_parse(connection, run_id)


async def note_result(connection: Connection, document_id: str, keys: BatchKeys) -> BatchKeys | None:
    """Say which result the document is made of; return the other one that it was made of before, if any."""
    found = await connection.fetchrow(
        "select batch_template, total_batches from wf.parser_result where document_id = $1 for update", document_id
    )
    await connection.execute(
        """insert into wf.parser_result (document_id, batch_template, total_batches) values ($1, $2, $3::int)
        on conflict (document_id) do update set batch_template = excluded.batch_template,
            total_batches = excluded.total_batches, noted_at = now()""",
        document_id,
        keys.batch_template,
        keys.total_batches,
    )
    before = None if found is None else row_as(found, BatchKeys)
    return None if before == keys else before


async def results_of(connection: Connection, document_ids: Sequence[str]) -> dict[str, BatchKeys]:
    """Return the keys of these documents' results by document; those without anything in Redis are left out."""
    rows = await connection.fetch(
        """select document_id, batch_template, total_batches from wf.parser_result
        where document_id = any($1::text[]) order by document_id""",
        list(document_ids),
    )
    return {
        str(row["document_id"]): BatchKeys(str(row["batch_template"]), msgspec.convert(row["total_batches"], int))
        for row in rows
    }


async def finished_result(connection: Connection, document_id: str) -> BatchKeys | None:
    """Return where the batches are that a finished document was made of; None when it is not, or they are gone."""
    row = await connection.fetchrow(
        """select r.batch_template, r.total_batches from wf.parser_result r join document d on d.id = r.document_id
        where d.id = $1 and d.status = 'COMPLETED'""",
        document_id,
    )
    return None if row is None else row_as(row, BatchKeys)


async def unwanted(connection: Connection, document_ids: Sequence[str]) -> list[str]:
    """Return those of the documents that are gone or going."""
    rows = await connection.fetch(
        """select id from document where id = any($1::text[]) and status not in ('QUEUED_FOR_DELETE', 'DELETING')""",
        list(document_ids),
    )
    there = {str(row["id"]) for row in rows}
    return [document_id for document_id in document_ids if document_id not in there]


async def forget_result(connection: Connection, document_id: str, keys: BatchKeys) -> None:
    """Say that a result's keys are gone."""
    await connection.execute(
        "delete from wf.parser_result where document_id = $1 and batch_template = $2",
        document_id,
        keys.batch_template,
    )


def _decoded(result: object) -> Parse:
    return msgspec.msgpack.decode(msgspec.convert(result, bytes), type=Parse)


def _parse_key(run_id: str) -> str:
    # Among the job's own rows: it goes with the job.
    return f"{run_id}:parse under way"
