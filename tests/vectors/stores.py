"""Turbopuffer and Pinecone as strict stubs that really store and search."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import msgspec

from tests.embeddings.stub_server import Received, Reply, json_reply

SECRET = "tpuf-Stub-Secret-0123456789"
FIRST_WRITE_SCHEMA = {
    "id": {"type": "string"},
    "text": {"type": "string", "full_text_search": True},
    "_node_content": {"type": "string", "filterable": False},
}


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / (math.hypot(*one) * math.hypot(*other))


class _TurbopufferWrite(msgspec.Struct, forbid_unknown_fields=True):
    upsert_rows: list[dict[str, object]] | None = None
    delete_by_filter: tuple[str, list[tuple[str, str, str]]] | None = None
    disable_backpressure: bool = False
    distance_metric: str | None = None
    schema: dict[str, dict[str, object]] | None = None


class _TurbopufferQuery(msgspec.Struct, forbid_unknown_fields=True):
    rank_by: tuple[str, str, list[float]]
    top_k: int
    include_attributes: bool
    filters: tuple[str, list[tuple[str, str, str]]] | None = None


Row = dict[str, object]


class TurbopufferStub:
    """Namespaces come into being with their first write, which must declare what they need.

    An attribute has the type of its first value for ever: a write with a value of another is refused whole.
    """

    def __init__(self) -> None:
        self.namespaces: dict[str, dict[str, Row]] = {}
        #: Of each namespace's attributes.
        self.types: dict[str, dict[str, str]] = {}

    def __call__(self, request: Received) -> Reply:
        if request.headers.get("authorization") != f"Bearer {SECRET}":
            return Reply(401, f"invalid key {SECRET}".encode(), {"content-type": "text/plain"})
        if request.method == "GET":
            return self._schema(request.path)
        found = re.fullmatch(r"/v2/namespaces/([A-Za-z0-9\-_.]{1,128})(/query)?", request.path)
        if found is None or request.method not in ("POST", "DELETE"):
            return _turbopuffer_error("not found", 404)
        if request.method == "DELETE":
            gone = None if found[2] else self.namespaces.pop(found[1], None)
            self.types.pop(found[1], None)
            return _turbopuffer_error("not found", 404) if gone is None else json_reply({"status": "OK"})
        try:
            if found[2]:
                return self._query(found[1], msgspec.json.decode(request.body, type=_TurbopufferQuery))
            return self._write(found[1], msgspec.json.decode(request.body, type=_TurbopufferWrite))
        except msgspec.ValidationError as error:
            return _turbopuffer_error(str(error), 400)

    def _write(self, name: str, write: _TurbopufferWrite) -> Reply:
        if write.delete_by_filter is not None:
            if name not in self.namespaces:
                return _turbopuffer_error("namespace not found", 404)
            gone = [key for key, row in self.namespaces[name].items() if _passes(row, write.delete_by_filter)]
            for key in gone:
                del self.namespaces[name][key]
            return json_reply({"status": "OK", "rows_affected": len(gone), "rows_deleted": len(gone)})
        rows = write.upsert_rows or []
        if not rows or not write.disable_backpressure:
            return _turbopuffer_error("no rows, or backpressure left on", 400)
        declared = write.distance_metric == "cosine_distance" and write.schema == FIRST_WRITE_SCHEMA
        if name not in self.namespaces and not declared:
            return _turbopuffer_error("the first write must declare the metric and the schema", 400)
        stored = self.namespaces.get(name, {})
        lengths = {len(_vector(row)) for row in [*stored.values(), *rows]}
        if len(lengths) != 1:
            return _turbopuffer_error(f"vectors must have one length, not {sorted(lengths)}", 400)
        for row in rows:
            key = row["id"]
            if not isinstance(key, str) or len(key.encode()) > 64 or any(name.startswith("$") for name in row):
                return _turbopuffer_error("bad id or attribute name", 400)
        types = dict(self.types.get(name, {"id": "string", "text": "string", "_node_content": "string"}))
        for row in rows:
            for key, value in row.items():
                if key != "vector" and types.setdefault(key, _type_of(value)) != _type_of(value):
                    return _turbopuffer_error(f"attribute {key} is of type {types[key]}", 400)
        self.types[name] = types
        self.namespaces[name] = {**stored, **{str(row["id"]): row for row in rows}}
        return json_reply({"status": "OK", "rows_affected": len(rows)})

    def _schema(self, path: str) -> Reply:
        found = re.fullmatch(r"/v1/namespaces/([A-Za-z0-9\-_.]{1,128})/schema", path)
        if found is None or found[1] not in self.types:
            return _turbopuffer_error("namespace not found", 404)
        return json_reply({key: {"type": kind, "filterable": True} for key, kind in self.types[found[1]].items()})

    def _query(self, name: str, query: _TurbopufferQuery) -> Reply:
        if name not in self.namespaces:
            return _turbopuffer_error("namespace not found", 404)
        if query.rank_by[:2] != ("vector", "ANN") or not query.include_attributes or query.top_k < 1:
            return _turbopuffer_error("bad query", 400)
        wanted = [row for row in self.namespaces[name].values() if not query.filters or _passes(row, query.filters)]
        if any(len(_vector(row)) != len(query.rank_by[2]) for row in wanted):
            return _turbopuffer_error("the vector has the wrong length", 400)
        rows = [{"$dist": 1 - cosine(query.rank_by[2], _vector(row)), "absent": None, **row} for row in wanted]
        rows.sort(key=lambda row: (row["$dist"], row["id"]))
        return json_reply({"rows": rows[: query.top_k], "performance": {}, "billing": {}})


def _passes(row: Row, filters: tuple[str, list[tuple[str, str, str]]]) -> bool:
    assert filters[0] == "And"
    assert all(operator == "Eq" for _, operator, _ in filters[1])
    return all(row.get(name) == value for name, _, value in filters[1])


def _type_of(value: object) -> str:
    match value:
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float"
        case str():
            return "string"
        case _:
            assert msgspec.convert(value, list[str]) is not None
            return "[]string"


def _vector(row: Row) -> list[float]:
    return msgspec.convert(row["vector"], list[float])


def _turbopuffer_error(message: str, status: int) -> Reply:
    return json_reply({"status": "error", "error": message}, status)


class _PineconeRow(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    values: list[float]
    metadata: dict[str, str | float | bool | list[str]]


class _PineconeUpsert(msgspec.Struct, forbid_unknown_fields=True):
    vectors: list[_PineconeRow]
    namespace: str


class _PineconeDelete(msgspec.Struct, forbid_unknown_fields=True):
    namespace: str
    filter: dict[str, str] | None = None
    delete_all: bool = msgspec.field(default=False, name="deleteAll")


class _PineconeQuery(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    vector: list[float]
    top_k: int
    include_metadata: bool
    include_values: bool
    namespace: str
    filter: dict[str, str] | None = None


class PineconeStub:
    """An index of any one dimension; numbers in metadata become floats.

    An upsert has at most 2 MB, and each of its rows 40 KB of metadata (Pinecone's operation limits).
    """

    def __init__(self) -> None:
        self.namespaces: dict[str, dict[str, _PineconeRow]] = {}

    def __call__(self, request: Received) -> Reply:
        if request.headers.get("api-key") != SECRET:
            return Reply(401, f"Invalid API Key {SECRET}".encode(), {"content-type": "text/plain"})
        if request.headers.get("x-pinecone-api-version") != "2025-01":
            return _pinecone_error("unsupported version", 400)
        try:
            match request.path:
                case "/vectors/upsert" if len(request.body) > 2_097_152:
                    return _pinecone_error(f"Request size {len(request.body)} exceeds the maximum of 2097152", 400)
                case "/vectors/upsert":
                    return self._upsert(msgspec.json.decode(request.body, type=_PineconeUpsert))
                case "/vectors/delete":
                    return self._delete(msgspec.json.decode(request.body, type=_PineconeDelete))
                case "/query":
                    return self._query(msgspec.json.decode(request.body, type=_PineconeQuery))
                case _:
                    return _pinecone_error("not found", 404)
        except msgspec.ValidationError as error:
            return _pinecone_error(str(error), 400)

    def _upsert(self, upsert: _PineconeUpsert) -> Reply:
        everything = [row for rows in self.namespaces.values() for row in rows.values()]
        lengths = {len(row.values) for row in [*everything, *upsert.vectors]}
        if not upsert.vectors or len(lengths) != 1:
            return _pinecone_error(f"vectors must have the index's one length, not {sorted(lengths)}", 400)
        size = max(len(msgspec.json.encode(row.metadata)) for row in upsert.vectors)
        if size > 40_960:
            message = f"metadata size is {size} bytes, which exceeds the limit of 40960 bytes per vector"
            return _pinecone_error(message, 400)
        if any(key.startswith("$") for row in upsert.vectors for key in row.metadata):
            return _pinecone_error("metadata keys must not start with $", 400)
        self.namespaces.setdefault(upsert.namespace, {}).update({row.id: row for row in upsert.vectors})
        return json_reply({"upsertedCount": len(upsert.vectors)})

    def _delete(self, delete: _PineconeDelete) -> Reply:
        if delete.namespace not in self.namespaces:
            return _pinecone_error("Namespace not found", 404)
        if delete.delete_all == (delete.filter is not None):
            return _pinecone_error("either a filter or deleteAll", 400)
        if delete.filter is None:
            del self.namespaces[delete.namespace]
            return json_reply({})
        kept = {key: row for key, row in self.namespaces[delete.namespace].items() if not _has(row, delete.filter)}
        self.namespaces[delete.namespace] = kept
        return json_reply({})

    def _query(self, query: _PineconeQuery) -> Reply:
        rows = [
            row
            for row in self.namespaces.get(query.namespace, {}).values()
            if query.filter is None or _has(row, query.filter)
        ]
        if query.top_k < 1 or any(len(row.values) != len(query.vector) for row in rows):
            return _pinecone_error("bad query", 400)
        rows.sort(key=lambda row: (-cosine(query.vector, row.values), row.id))
        matches = [{"id": row.id, "score": cosine(query.vector, row.values), "metadata": row.metadata} for row in rows]
        return json_reply({"results": [], "matches": matches[: query.top_k], "namespace": query.namespace})


def _has(row: _PineconeRow, wanted: dict[str, str]) -> bool:
    return all(row.metadata.get(key) == value for key, value in wanted.items())


def _pinecone_error(message: str, status: int) -> Reply:
    return json_reply({"code": 3, "message": message, "details": []}, status)
