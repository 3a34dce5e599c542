"""A vector store in the platform's own Postgres, with pgvector: for the local runtime and small installations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from orchestrator.ports import Database
from steps.vectors import Match, MetadataValue, VectorRow
from steps.vectors.metadata import stored_metadata


class _StoredRow(msgspec.Struct, frozen=True):
    """One element of the upsert's JSON parameter; the vector is JSON text, which is also pgvector's own syntax."""

    id: str
    document_id: str
    body: str
    metadata: dict[str, MetadataValue]
    embedding: str


class _Metadata(msgspec.Struct, frozen=True):
    metadata: dict[str, MetadataValue]


class PgVectorStore:
    """The ``VectorStore`` protocol over table ``wf.vector``.

    Args:
        database: where the table is.
        namespace: name of the vector namespace; rows of different namespaces never meet.
    """

    def __init__(self, database: Database, namespace: str) -> None:
        self._database = database
        self._namespace = namespace

    async def upsert(self, rows: Sequence[VectorRow]) -> None:
        """Store the rows, replacing those with the same id; no rows makes no call.

        Of rows with one id the last counts.

        Raises:
            DatabaseError: the database refused the rows or was lost.
        """
        if not rows:
            return
        unique = {row.id: row for row in rows}
        payload = msgspec.json.encode([_stored(row) for row in unique.values()]).decode()
        await self._database.execute(
            "insert into wf.vector (namespace, id, document_id, body, metadata, embedding)"
            " select $1, id, document_id, body, metadata, embedding::vector"
            " from json_to_recordset($2::json)"
            " as row (id text, document_id text, body text, metadata jsonb, embedding text)"
            " on conflict (namespace, id) do update set document_id = excluded.document_id, body = excluded.body,"
            " metadata = excluded.metadata, embedding = excluded.embedding",
            self._namespace,
            payload,
        )

    async def delete_document(self, document_id: str) -> int | None:
        """Remove every row of the document; return how many there were.

        Raises:
            DatabaseError: the database was lost.
        """
        tag = await self._database.execute(
            "delete from wf.vector where namespace = $1 and document_id = $2", self._namespace, document_id
        )
        return int(tag.removeprefix("DELETE "))

    async def delete_documents(self, document_ids: Sequence[str]) -> Mapping[str, Exception]:
        """Remove every row of several documents: all or none.

        Raises:
            DatabaseError: the database was lost.
        """
        await self._database.execute(
            "delete from wf.vector where namespace = $1 and document_id = any($2::text[])",
            self._namespace,
            list(document_ids),
        )
        return {}

    async def drop(self) -> None:
        """Remove every row of the namespace.

        Raises:
            DatabaseError: the database was lost.
        """
        await self._database.execute("delete from wf.vector where namespace = $1", self._namespace)

    async def query(self, vector: Sequence[float], *, top_k: int, document_id: str | None = None) -> list[Match]:
        """Return the ``top_k`` rows nearest to ``vector`` by cosine, nearest first; rows as near come by id.

        Raises:
            DatabaseError: the vector's length differs from the stored ones', or the database was lost.
        """
        rows = await self._database.fetch(
            "select id, 1 - distance as score, body, json_build_object('metadata', metadata)::text as metadata from ("
            " select id, body, metadata, embedding <=> $2::text::vector as distance from wf.vector"
            " where namespace = $1 and ($3::text is null or document_id = $3)"
            ") as near order by distance, id limit $4",
            self._namespace,
            msgspec.json.encode(list(vector)).decode(),
            document_id,
            top_k,
        )
        return [
            Match(
                id=str(row["id"]),
                score=msgspec.convert(row["score"], float),
                text=str(row["body"]),
                metadata=msgspec.json.decode(str(row["metadata"]), type=_Metadata).metadata,
            )
            for row in rows
        ]


def _stored(row: VectorRow) -> _StoredRow:
    return _StoredRow(
        id=row.id,
        document_id=str(row.metadata.get("documentId") or row.id.partition("#")[0]),
        body=_storable(row.text),
        metadata={_storable(key): _storable_value(value) for key, value in stored_metadata(row.metadata).items()},
        embedding=msgspec.json.encode(row.vector).decode(),
    )


def _storable(text: str) -> str:
    """Replace the one character that Postgres cannot store; text taken from PDFs does contain it."""
    return text.replace("\0", "\ufffd")


def _storable_value(value: MetadataValue) -> MetadataValue:
    if isinstance(value, str):
        return _storable(value)
    return [_storable(item) for item in value] if isinstance(value, list) else value
