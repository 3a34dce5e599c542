"""Turbopuffer (domain.md §3.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from orchestrator.errors import NonRetryableError
from orchestrator.ports import Http
from steps.json_api import JsonApi
from steps.vectors import Match, MetadataValue, VectorRow, delete_each
from steps.vectors.attribute_types import fitted
from steps.vectors.metadata import stored_metadata

MANAGED_REGION = "aws-us-east-1"

#: Declared with the first write: what would be inferred otherwise lacks the full-text index.
SCHEMA: dict[str, object] = {
    "id": {"type": "string"},
    "text": {"type": "string", "full_text_search": True},
    "_node_content": {"type": "string", "filterable": False},
}


#: Statuses of a write that has a value of the wrong type.
_BAD_WRITE = frozenset({400, 422})
#: Times that a write is fitted once more to the attributes' types: others may add attributes at the same moment.
MAX_FITTINGS = 3


class _Attribute(msgspec.Struct, frozen=True):
    type: str


class _Written(msgspec.Struct, frozen=True):
    rows_deleted: int | None = None
    rows_affected: int | None = None


class _Found(msgspec.Struct, frozen=True):
    rows: list[dict[str, object]]


class TurbopufferStore:
    """One Turbopuffer namespace, implementing :class:`steps.vectors.VectorStore`.

    The first upsert through an instance declares the schema, as the first write of a run must; declaring it again
    changes nothing, so an instance per slice is fine.

    Args:
        http: the way out.
        api_key: the account's key.
        namespace: the namespace's name, from :func:`steps.vectors.config.namespace_name`.
        base_url: the region's address, from :func:`region_url`.
    """

    def __init__(self, http: Http, *, api_key: str, namespace: str, base_url: str) -> None:
        self._api = JsonApi(
            http,
            name="Turbopuffer",
            area="vector_store",
            base_url=base_url,
            headers={"authorization": f"Bearer {api_key}"},
            secret=api_key,
        )
        self._path = f"/v2/namespaces/{namespace}"
        self._schema_path = f"/v1/namespaces/{namespace}/schema"
        self._schema_declared = False
        #: Of the namespace's attributes; known once a write was refused.
        self._types: dict[str, str] | None = None

    async def upsert(self, rows: Sequence[VectorRow]) -> None:
        """See :class:`steps.vectors.VectorStore`."""
        fittings = 0
        while rows:
            try:
                await self._write(rows)
            except NonRetryableError as error:
                fittings += 1
                refused = error.details.get("status") in _BAD_WRITE
                if not refused or fittings > MAX_FITTINGS or not await self._learn_types(rows):
                    raise
            else:
                return

    async def _write(self, rows: Sequence[VectorRow]) -> None:
        attributes = [stored_metadata(row.metadata) for row in rows]
        if self._types is not None:
            attributes = fitted(attributes, self._types)
        upsert_rows = [
            {**own, "id": row.id, "vector": row.vector, "text": row.text}
            for row, own in zip(rows, attributes, strict=True)
        ]
        body: dict[str, object] = {"upsert_rows": upsert_rows, "disable_backpressure": True}
        if not self._schema_declared:
            body |= {"distance_metric": "cosine_distance", "schema": SCHEMA}
        await self._api.post(self._path, body, _Written)
        self._schema_declared = True

    async def _learn_types(self, rows: Sequence[VectorRow]) -> bool:
        """Ask for the types of the namespace's attributes; tell whether that changes how the rows are written."""
        found = await self._api.get_if_found(self._schema_path, dict[str, _Attribute]) or {}
        before, self._types = self._types, {name: attribute.type for name, attribute in found.items()}
        attributes = [stored_metadata(row.metadata) for row in rows]
        written = attributes if before is None else fitted(attributes, before)
        return fitted(attributes, self._types) != written

    async def delete_document(self, document_id: str) -> int | None:
        """See :class:`steps.vectors.VectorStore`."""
        body = {"delete_by_filter": document_filter(document_id)}
        written = await self._api.post_if_found(self._path, body, _Written)
        if written is None:
            return None
        return written.rows_deleted if written.rows_deleted is not None else written.rows_affected

    async def delete_documents(self, document_ids: Sequence[str]) -> Mapping[str, Exception]:
        """See :class:`steps.vectors.VectorStore`."""
        return await delete_each(document_ids, self.delete_document)

    async def drop(self) -> None:
        """See :class:`steps.vectors.VectorStore`."""
        await self._api.delete_if_found(self._path)

    async def query(self, vector: Sequence[float], *, top_k: int, document_id: str | None = None) -> list[Match]:
        """See :class:`steps.vectors.VectorStore`."""
        body: dict[str, object] = {
            "rank_by": ["vector", "ANN", list(vector)],
            "top_k": top_k,
            "include_attributes": True,
        }
        if document_id is not None:
            body["filters"] = document_filter(document_id)
        found = await self._api.post_if_found(f"{self._path}/query", body, _Found)
        return [self._match(row) for row in found.rows] if found is not None else []

    def _match(self, row: dict[str, object]) -> Match:
        metadata = {
            key: value
            for key, value in row.items()
            if key not in ("id", "vector", "text", "$dist") and value is not None
        }
        try:
            return Match(
                id=msgspec.convert(row.get("id"), str),
                score=1.0 - msgspec.convert(row.get("$dist"), float),
                text=msgspec.convert(row.get("text") or "", str),
                metadata=msgspec.convert(metadata, dict[str, MetadataValue]),
            )
        except msgspec.ValidationError as error:
            raise self._api.bad_answer(f"unexpected row: {error}") from error


def region_url(region: str) -> str:
    """Return the address of a Turbopuffer region."""
    return f"https://{region}.turbopuffer.com"


def document_filter(document_id: str) -> list[object]:
    """Return the filter that picks a document's rows."""
    return ["And", [["documentId", "Eq", document_id]]]
