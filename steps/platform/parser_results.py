"""Which result of the parser service a document is made of, and where its batches are (W-09)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from orchestrator.ports import Connection
from steps.platform.rows import row_as

#: Stands for the batch's number in a template (domain.md §3.2).
BATCH_INDEX = "[BATCH_INDEX]"


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


async def forget_result(connection: Connection, document_id: str, keys: BatchKeys) -> None:
    """Say that a result's keys are gone."""
    await connection.execute(
        "delete from wf.parser_result where document_id = $1 and batch_template = $2",
        document_id,
        keys.batch_template,
    )
