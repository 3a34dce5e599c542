"""What the tests put into Postgres, and what they find there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import LiteralString

from durable.postgres import AsyncpgDatabase
from tests.ingestion.harness import NAMESPACE, ORGANIZATION, Picture, picture

_KEEP_EVENTS: LiteralString = """
create table announced (like wf.event_outbox);
create function keep_event() returns trigger language plpgsql as
    'begin insert into announced select new.*; return null; end';
create trigger keep after insert on wf.event_outbox for each row execute function keep_event();
"""


class Tables:
    """The stack's database, through a connection of the tests' own.

    Args:
        url: where it is.
    """

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._database = AsyncpgDatabase(url)

    def close(self) -> None:
        """Close the connection."""
        self._runner.run(self._database.close())
        self._runner.close()

    def rows(self, query: LiteralString, *params: object) -> list[list[object]]:
        """Return a query's rows."""
        records = self._runner.run(self._database.fetch(query, *params))
        return [[record[index] for index in range(len(list(record.keys())))] for record in records]

    def count(self, query: LiteralString, *params: object) -> int:
        """Return a query's number."""
        ((value,),) = self.rows(query, *params)
        assert isinstance(value, int)
        return value

    def prepare(self) -> None:
        """Insert the organization and the namespace, and have every event kept: delivery takes them away."""
        self._runner.run(self._database.execute(_KEEP_EVENTS))
        self.rows("insert into organization (id, name, slug) values ($1, 'An organization', 'org')", ORGANIZATION)
        self.rows(
            """insert into namespace (id, name, slug, "organizationId", "updatedAt")
            values ($1, 'A namespace', 'ns', $2, now() at time zone 'utc')""",
            NAMESPACE,
            ORGANIZATION,
        )

    def add_ingest_job(self, ingest_job_id: str, payload: Mapping[str, object]) -> None:
        """Insert an ingest job as the platform's API does."""
        self.rows(
            """insert into ingest_job (id, "namespaceId", status, payload, "updatedAt")
            values ($1, $2, 'QUEUED', $3::jsonb, now() at time zone 'utc')""",
            ingest_job_id,
            NAMESPACE,
            json.dumps(payload),
        )

    def documents(self, ingest_job_id: str) -> list[str]:
        """Return the ids of an ingest job's documents, by their items' order."""
        rows = self.rows('select id from document where "ingestJobId" = $1 order by id', ingest_job_id)
        return [str(row[0]) for row in rows]

    def chunks(self, document_id: str) -> int:
        """Return how many chunks of a document are stored."""
        return self.count("select count(*) from wf.vector where document_id = $1", document_id)

    def all_ended(self, ingest_job_ids: Sequence[str]) -> bool:
        """Tell whether every one of these ingest jobs has come to its end."""
        query = "select count(*) from ingest_job where id = any($1) and status in ('COMPLETED', 'FAILED')"
        return self.count(query, list(ingest_job_ids)) == len(ingest_job_ids)

    def picture(self) -> Picture:
        """Return every row that ingestion may touch, without what may differ between two correct runs."""
        found = self._runner.run(picture(self._database))
        events = self.rows("select to_jsonb(t) from announced t order by created_at, id")
        found.events = [json.loads(str(row[0])) for row in events]
        return found.settled()

    def announced(self) -> list[tuple[str, str, str]]:
        """Return the id, kind and subject of every event there ever was."""
        rows = self.rows("select id, event, subject from announced order by created_at, id")
        return [(str(row[0]), str(row[1]), str(row[2])) for row in rows]

    def effects(self) -> list[str]:
        """Return the keys of the effects that were applied."""
        return [str(row[0]) for row in self.rows("select key from wf.effect order by key")]
