"""What the demo writes to and reads from Postgres."""

from __future__ import annotations

import asyncio
import json
from typing import LiteralString

from durable.postgres import AsyncpgDatabase
from local.demo.corpus import NAMESPACE_ID, Corpus

ORGANIZATION_ID = "demo-organization"
BATCH_JOB_ID = "cdemobatch000000000000000"
LARGE_JOB_ID = "cdemolarge000000000000000"

Row = list[object]

#: Events are gone once they are delivered; the demo keeps a copy of each, to compare two runs.
_KEEP_EVENTS: tuple[LiteralString, ...] = (
    "create table if not exists demo_event (like wf.event_outbox)",
    """create or replace function keep_demo_event() returns trigger language plpgsql as
        'begin insert into demo_event select new.*; return null; end'""",
    """create or replace trigger keep_demo_event after insert on wf.event_outbox
        for each row execute function keep_demo_event()""",
)


class DemoDatabase:
    """One short-lived connection per question: Postgres itself may be restarted under the demo."""

    def __init__(self, url: str) -> None:
        self._url = url

    def run(self, query: LiteralString, *parameters: object) -> list[Row]:
        """Run a statement with ``$1`` parameters."""
        return asyncio.run(self._run(query, parameters))

    async def _run(self, query: LiteralString, parameters: tuple[object, ...]) -> list[Row]:
        database = AsyncpgDatabase(self._url)
        try:
            records = await database.fetch(query, *parameters)
            return [[record[index] for index in range(len(list(record.keys())))] for record in records]
        finally:
            await database.close()

    def prepare(self, corpus: Corpus) -> None:
        """Empty every table and insert one organization, one namespace and the two ingest jobs."""
        for statement in _KEEP_EVENTS:
            self.run(statement)
        self.run("truncate organization, wf.effect, wf.event_outbox, wf.vector, demo_event cascade")
        self.run("insert into organization (id, name, slug, plan) values ($1, 'Demo', 'demo', 'pro')", ORGANIZATION_ID)
        self.run(
            """insert into namespace (id, name, slug, "organizationId", "updatedAt")
            values ($1, 'Demo', 'demo', $2, now() at time zone 'utc')""",
            NAMESPACE_ID,
            ORGANIZATION_ID,
        )
        items = [{"type": "MANAGED_FILE", "key": item.key, "fileName": item.name} for item in corpus.batch]
        self._insert_job(BATCH_JOB_ID, "Standard library", {"type": "BATCH", "items": items})
        large = {"type": "MANAGED_FILE", "key": corpus.large_key, "fileName": "standard-library.txt"}
        self._insert_job(LARGE_JOB_ID, "Standard library in one piece", large)

    def _insert_job(self, job_id: str, name: str, payload: object) -> None:
        self.run(
            """insert into ingest_job (id, "namespaceId", status, name, payload, "updatedAt")
            values ($1, $2, 'QUEUED', $3, $4::jsonb, now() at time zone 'utc')""",
            job_id,
            NAMESPACE_ID,
            name,
            json.dumps(payload),
        )

    def large_document_id(self) -> str | None:
        """Return the id of the large document's row, once it exists."""
        rows = self.run('select id from document where "ingestJobId" = $1', LARGE_JOB_ID)
        return str(rows[0][0]) if rows else None

    def facts(self) -> dict[str, object]:
        """Return everything a run leaves behind, in a form that can be compared."""
        documents = self.run(
            """select count(*), count(*) filter (where status = 'COMPLETED'), sum("totalChunks"), sum("totalTokens"),
            sum("totalCharacters"), round(sum("totalPages")::numeric, 6),
            md5(string_agg(id || status || "totalChunks" || coalesce(error, ''), ',' order by id)) from document"""
        )[0]
        vectors = self.run(
            """select count(*), md5(string_agg(id, ',' order by id)),
            md5(string_agg(md5(body) || md5(metadata::text) || md5(embedding::text), ',' order by id)) from wf.vector"""
        )[0]
        counters = self.run(
            """select n."totalDocuments", o."totalDocuments", round(n."totalPages"::numeric, 6),
            round(o."totalPages"::numeric, 6) from namespace n join organization o on o.id = n."organizationId" """
        )[0]
        jobs = self.run("select md5(string_agg(id || status || coalesce(error, ''), ',' order by id)) from ingest_job")
        events = self.run("select count(*), md5(string_agg(id, ',' order by id)) from demo_event")[0]
        names = ("documents", "completed", "chunks", "tokens", "characters", "pages", "document rows")
        found: dict[str, object] = dict(zip(names, documents, strict=True))
        found.update(zip(("vectors", "vector ids", "vector contents"), vectors, strict=True))
        found.update(
            zip(
                ("namespace documents", "organization documents", "namespace pages", "organization pages"),
                counters,
                strict=True,
            )
        )
        found["ingest jobs"] = jobs[0][0]
        found.update(zip(("events", "event ids"), events, strict=True))
        return {name: value if isinstance(value, (int, str)) else str(value) for name, value in found.items()}

    def nearest(self, vector: list[float], limit: int) -> list[Row]:
        """Return name, score and text of the chunks most like a vector, one per document of the batch."""
        return self.run(
            """select name, score, body from (
                select distinct on (d.id) d.name, 1 - (v.embedding <=> $1::text::vector) as score, v.body
                from wf.vector v join document d on d.id = v.document_id
                where d."ingestJobId" = $2 order by d.id, score desc
            ) best order by score desc limit $3""",
            json.dumps(vector),
            BATCH_JOB_ID,
            limit,
        )
