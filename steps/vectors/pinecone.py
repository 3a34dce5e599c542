"""Pinecone (domain.md §3.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from orchestrator.errors import NonRetryableError
from orchestrator.ports import Http
from steps.json_api import JsonApi
from steps.vectors import Match, MetadataValue, VectorRow, delete_each
from steps.vectors.metadata import stored_metadata

API_VERSION = "2025-01"
#: What a row's metadata may take as JSON, its text included, and what an upsert may, with room for what is around its
#: rows (https://docs.pinecone.io/reference/api/database-limits/operation-limits).
MAX_METADATA_BYTES = 40_960
MAX_UPSERT_BYTES = 2_000_000


class _Done(msgspec.Struct, frozen=True):
    pass


class _Scored(msgspec.Struct, frozen=True):
    id: str
    score: float = 0.0
    metadata: dict[str, MetadataValue] | None = None


class _Found(msgspec.Struct, frozen=True):
    matches: list[_Scored] = []


class PineconeStore:
    """One namespace of a Pinecone index, implementing :class:`steps.vectors.VectorStore`.

    Pinecone keeps every number as a float, never says how many rows a delete took, and shows writes to queries a moment
    later. Scores are cosine similarities if the index was made with that metric, as the platform's are.

    Args:
        http: the way out.
        api_key: the project's key.
        namespace: from :func:`steps.vectors.config.pinecone_namespace_name`.
        base_url: the index's address, from :func:`steps.vectors.config.pinecone_base_url`.
    """

    def __init__(self, http: Http, *, api_key: str, namespace: str, base_url: str) -> None:
        self._api = JsonApi(
            http,
            name="Pinecone",
            area="vector_store",
            base_url=base_url,
            headers={"api-key": api_key, "x-pinecone-api-version": API_VERSION},
            secret=api_key,
        )
        self._namespace = namespace

    async def upsert(self, rows: Sequence[VectorRow]) -> None:
        """See :class:`steps.vectors.VectorStore`."""
        vectors = [_encoded(row) for row in rows]
        for group in _groups(vectors):
            await self._api.post("/vectors/upsert", {"vectors": group, "namespace": self._namespace}, _Done)

    async def delete_document(self, document_id: str) -> int | None:
        """See :class:`steps.vectors.VectorStore`; the count is never known."""
        body = {"filter": document_filter(document_id), "namespace": self._namespace}
        await self._api.post_if_found("/vectors/delete", body, _Done)
        return None

    async def delete_documents(self, document_ids: Sequence[str]) -> Mapping[str, Exception]:
        """See :class:`steps.vectors.VectorStore`."""
        return await delete_each(document_ids, self.delete_document)

    async def drop(self) -> None:
        """See :class:`steps.vectors.VectorStore`."""
        await self._api.post_if_found("/vectors/delete", {"deleteAll": True, "namespace": self._namespace}, _Done)

    async def query(self, vector: Sequence[float], *, top_k: int, document_id: str | None = None) -> list[Match]:
        """See :class:`steps.vectors.VectorStore`."""
        body: dict[str, object] = {
            "vector": list(vector),
            "topK": top_k,
            "includeMetadata": True,
            "includeValues": False,
            "namespace": self._namespace,
        }
        if document_id is not None:
            body["filter"] = document_filter(document_id)
        found = await self._api.post_if_found("/query", body, _Found)
        return [_match(scored) for scored in found.matches] if found is not None else []


def document_filter(document_id: str) -> dict[str, str]:
    """Return the filter that picks a document's rows."""
    return {"documentId": document_id}


def _encoded(row: VectorRow) -> msgspec.Raw:
    metadata = msgspec.json.encode({**stored_metadata(row.metadata), "text": row.text})
    if len(metadata) > MAX_METADATA_BYTES:
        raise NonRetryableError(
            f"Pinecone takes {MAX_METADATA_BYTES} bytes of metadata a chunk, its text included, and {row.id} has "
            f"{len(metadata)}: choose a smaller chunkSize or less metadata",
            code="vector_metadata_too_large",
        )
    vector = {"id": row.id, "values": row.vector, "metadata": msgspec.Raw(metadata)}
    return msgspec.Raw(msgspec.json.encode(vector))


def _groups(vectors: Sequence[msgspec.Raw]) -> list[list[msgspec.Raw]]:
    """Return the rows in groups that fit one request each."""
    groups: list[list[msgspec.Raw]] = []
    room = 0
    for vector in vectors:
        size = len(bytes(vector)) + 1
        if size > room:
            groups.append([])
            room = MAX_UPSERT_BYTES
        groups[-1].append(vector)
        room -= size
    return groups


def _match(scored: _Scored) -> Match:
    metadata = dict(scored.metadata or {})
    text = metadata.pop("text", "")
    return Match(id=scored.id, score=scored.score, text=text if isinstance(text, str) else "", metadata=metadata)
