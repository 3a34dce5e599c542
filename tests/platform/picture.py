"""Pictures of everything that jobs may leave behind, for comparing runs."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import LiteralString

import msgspec

from orchestrator.ports import Blobs, Connection, Database
from tests.redis.stub import RedisStub
from tests.vectors.stores import PineconeStub, TurbopufferStub

Row = dict[str, object]

#: Every table that a job of the platform may write, each row as JSON. The order is that of foreign keys.
TABLES: Mapping[str, LiteralString] = {
    "organization": "select to_jsonb(t) from organization t order by id",
    "user": 'select to_jsonb(t) from "user" t order by id',
    "member": "select to_jsonb(t) from member t order by id",
    "namespace": "select to_jsonb(t) from namespace t order by id",
    "Hosting": 'select to_jsonb(t) from "Hosting" t order by id',
    "Domain": 'select to_jsonb(t) from "Domain" t order by id',
    "connection": "select to_jsonb(t) from connection t order by id",
    "Webhook": 'select to_jsonb(t) from "Webhook" t order by id',
    "NamespaceWebhook": 'select to_jsonb(t) from "NamespaceWebhook" t order by id',
    "ingest_job": "select to_jsonb(t) from ingest_job t order by id",
    "document": "select to_jsonb(t) from document t order by id",
    "counted": "select to_jsonb(t) || jsonb_build_object('id', document_id) from wf.counted_document t order by 1",
    "parsed": "select to_jsonb(t) || jsonb_build_object('id', document_id) from wf.parser_result t order by 1",
    "event": "select to_jsonb(t) from wf.event_outbox t order by created_at, id",
}
_VECTORS: LiteralString = """select jsonb_build_object('namespace', namespace, 'id', id, 'rest', to_jsonb(t))
    from wf.vector t order by namespace, id"""


class Picture(msgspec.Struct):
    """Everything there is, by name: rows of each table, objects of each bucket, vectors of each store's namespace.

    ``redis`` has the seconds that each key has to live, None for those without an end.
    """

    tables: dict[str, list[Row]]
    objects: dict[str, dict[str, str]]
    vectors: dict[str, dict[str, object]]
    redis: dict[str, int | None]

    def row(self, table: str, row_id: str) -> Row:
        """Return one row."""
        found = [row for row in self.tables[table] if row["id"] == row_id]
        assert len(found) == 1, f"{table} {row_id}: {len(found)} rows"
        return found[0]

    def ids(self, table: str) -> list[str]:
        """Return the ids of a table's rows."""
        return [str(row["id"]) for row in self.tables[table]]

    @property
    def announced(self) -> list[str]:
        """The events, in their order."""
        return [str(event["event"]) for event in self.tables["event"]]

    def lines(self) -> Counter[str]:
        """Return everything as lines, without what may differ between two correct runs: times, the order of sums."""
        found = [f"{name}: {settled(row)!r}" for name, rows in self.tables.items() for row in rows]
        found += [f"{bucket}/{key}: {digest}" for bucket, keys in self.objects.items() for key, digest in keys.items()]
        found += [f"redis {key}: {lifetime_s}" for key, lifetime_s in self.redis.items()]
        for namespace, rows in self.vectors.items():
            found += [f"vector {namespace} {row_id}: {row!r}" for row_id, row in rows.items()]
        return Counter(found)


def differences(found: Picture, expected: Picture) -> list[str]:
    """Return the first lines in which two pictures differ."""
    ours, theirs = found.lines(), expected.lines()
    return [
        *(f"too much: {line[:400]}" for line in sorted(ours - theirs)[:5]),
        *(f"missing: {line[:400]}" for line in sorted(theirs - ours)[:5]),
    ]


async def take(
    database: Database,
    buckets: Mapping[str, Blobs],
    turbopuffer: TurbopufferStub,
    pinecone: PineconeStub,
    redis: RedisStub,
) -> Picture:
    """Return what is there."""
    vectors: dict[str, dict[str, object]] = {}
    for row in await rows(database, _VECTORS):
        vectors.setdefault(str(row["namespace"]), {})[str(row["id"])] = row["rest"]
    for namespace, kept in turbopuffer.namespaces.items():
        vectors[namespace] = dict(kept)
    for namespace, stored in pinecone.namespaces.items():
        vectors[namespace] = {row.id: msgspec.to_builtins(row) for row in stored.values()}
    return Picture(
        tables={name: await rows(database, query) for name, query in TABLES.items()},
        objects={name: await objects(blobs) for name, blobs in buckets.items()},
        vectors={name: kept for name, kept in vectors.items() if kept},
        redis={key: redis.lifetimes.get(key) for key in redis.strings},
    )


async def rows(database: Connection, query: LiteralString) -> list[Row]:
    """Return the rows of a query that gives one JSON column."""
    return [json.loads(str(row[0])) for row in await database.fetch(query)]


async def objects(blobs: Blobs) -> dict[str, str]:
    """Return every key of a bucket, each with a digest of its object."""
    found: dict[str, str] = {}
    while keys := await blobs.list("", after=max(found, default="")):
        for key in keys:
            found[key] = hashlib.sha256(await blobs.get(key) or b"").hexdigest()[:12]
    return found


def settled(value: object) -> object:
    """Return a value without what may differ between two correct runs: times, and the order of floats' sums."""
    if isinstance(value, dict):
        return {key: settled(item) for key, item in msgspec.convert(value, Row).items()}
    if isinstance(value, list):
        return [settled(item) for item in msgspec.convert(value, Sequence[object])]
    if isinstance(value, float):
        return round(value, 9)
    if isinstance(value, str) and _is_time(value):
        return "a time"
    return value


def _is_time(text: str) -> bool:
    if len(text) < 19 or text[4] != "-":
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
