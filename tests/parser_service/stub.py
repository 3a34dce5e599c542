"""The parser service as its contract describes it (domain.md §3.1): strict about requests, and told what to parse into.

A call's result is there at once; when it is told, and whether, is the test's choice. Chunks are as long as asked for,
and their ids differ between two calls, as the original's random ones do.
"""

from __future__ import annotations

import hmac
import itertools
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import msgspec

from tests.embeddings.stub_server import Received, Reply, json_reply

API_KEY = "parser-Stub-Secret-0123456789"
_CALLS = uuid.UUID("00000000-0000-4000-8000-00000000ca11")
_PAGED = {"application/pdf"}

Text = Annotated[str, msgspec.Meta(min_length=1)]
Positive = Annotated[int, msgspec.Meta(ge=1)]


class _ChunkOptions(msgspec.Struct):
    chunk_size: Annotated[int, msgspec.Meta(ge=32)] | msgspec.UnsetType = msgspec.UNSET
    delimiter: str | msgspec.UnsetType = msgspec.UNSET
    language_code: Text | msgspec.UnsetType = msgspec.UNSET


class _ParseOptions(msgspec.Struct):
    mode: Literal["fast", "balanced", "accurate"] | msgspec.UnsetType = msgspec.UNSET
    disable_image_extraction: bool | msgspec.UnsetType = msgspec.UNSET
    disable_image_captions: bool | msgspec.UnsetType = msgspec.UNSET
    additional_config: dict[str, bool] | msgspec.UnsetType = msgspec.UNSET
    extras: Literal["chart_understanding"] | msgspec.UnsetType = msgspec.UNSET


class _Request(msgspec.Struct, kw_only=True):
    """Unset options are left out; null is no value of theirs."""

    trigger_token_id: Text
    trigger_access_token: Text
    namespace_id: Text
    extra_metadata: dict[str, str | int | float | bool | list[str]] | msgspec.UnsetType = msgspec.UNSET
    chunk_options: _ChunkOptions | msgspec.UnsetType = msgspec.UNSET


class _Ingest(_Request, kw_only=True):
    document_id: Text
    batch_size: Positive
    text: str | msgspec.UnsetType = msgspec.UNSET
    url: Text | msgspec.UnsetType = msgspec.UNSET
    filename: Text | msgspec.UnsetType = msgspec.UNSET
    parse_options: _ParseOptions | msgspec.UnsetType = msgspec.UNSET


class _CrawlOptions(msgspec.Struct):
    max_depth: Positive | msgspec.UnsetType = msgspec.UNSET
    limit: Positive | msgspec.UnsetType = msgspec.UNSET
    exclude_paths: list[str] | msgspec.UnsetType = msgspec.UNSET
    include_paths: list[str] | msgspec.UnsetType = msgspec.UNSET
    headers: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class _Crawl(_Request, kw_only=True):
    url: Text
    crawl_options: _CrawlOptions | msgspec.UnsetType = msgspec.UNSET


class _Youtube(_Request, kw_only=True):
    urls: Annotated[list[Text], msgspec.Meta(min_length=1)]
    transcript_languages: list[str] | msgspec.UnsetType = msgspec.UNSET
    include_metadata: bool | msgspec.UnsetType = msgspec.UNSET


class Call(msgspec.Struct):
    """One parse that was paid for."""

    call_id: str
    kind: str
    body: dict[str, object]
    token_id: str
    access_token: str
    #: What is told of it; None while it is running.
    data: dict[str, object] | None = None
    #: Its callback was refused twice, so that it ended in an error.
    aborted: bool = False
    chunk_ids: set[str] = msgspec.field(default_factory=set[str])


class Page(msgspec.Struct):
    """A page of the site that is crawled, or a video."""

    id: str
    text: str
    name: str
    metadata: dict[str, object] = {}


class ParserStub:
    """Answers ``POST /{kind}`` and ``GET /{kind}/results/{call_id}``.

    Args:
        redis: where batches go.
        put: stores an object in the main bucket.
    """

    def __init__(self, redis: dict[str, str], put: Callable[[str, bytes], None]) -> None:
        self._redis = redis
        self._put = put
        self._numbers = itertools.count(1)
        self.calls: list[Call] = []
        #: What a crawl or a transcription finds.
        self.pages: list[Page] = []
        #: Makes a call end in another way: its data instead of the parse's.
        self.outcome: Callable[[Call], dict[str, object] | None] = lambda call: None
        #: Whether results can be asked for.
        self.answers_polls = True
        #: Objects are written when a call's result is told, and not when it begins; those that wait, by call.
        self.writes_late = False
        self.late: dict[str, dict[str, bytes]] = {}
        #: Told of each call that was accepted.
        self.accepted: Callable[[Call], None] = lambda call: None

    def __call__(self, request: Received) -> Reply:
        if not hmac.compare_digest(request.headers.get("api-key", ""), API_KEY):
            return json_reply({"status": 401, "message": "Unauthorized"}, 401)
        parts = request.path.strip("/").split("/")
        if request.method == "GET" and len(parts) == 3 and parts[1] == "results":
            return self._poll(parts[0], parts[2])
        if request.method != "POST" or len(parts) != 1 or parts[0] not in ("ingest", "crawl", "youtube"):
            return json_reply({"detail": "Not Found"}, 404)
        if request.headers.get("content-type") != "application/json":
            return json_reply({"detail": "JSON is expected"}, 422)
        return self._start(parts[0], request)

    def _start(self, kind: str, request: Received) -> Reply:
        models = {"ingest": _Ingest, "crawl": _Crawl, "youtube": _Youtube}
        try:
            body = msgspec.json.decode(request.body, type=models[kind])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return json_reply({"detail": [{"loc": ["body"], "msg": str(error)}]}, 422)
        if isinstance(body, _Ingest) and (body.text is msgspec.UNSET) is (body.url is msgspec.UNSET):
            return json_reply({"detail": "Exactly one of text and url is expected"}, 422)
        number = next(self._numbers)
        call = Call(
            f"fc-{number:04}",
            kind,
            msgspec.json.decode(request.body, type=dict[str, object]),
            body.trigger_token_id,
            body.trigger_access_token,
        )
        self.calls.append(call)
        call.data = self.outcome(call) or (
            self._ingest(call, body) if isinstance(body, _Ingest) else self._documents(call, body)
        )
        self.accepted(call)
        return json_reply({"call_id": call.call_id})

    def _poll(self, kind: str, call_id: str) -> Reply:
        found = next((call for call in self.calls if (call.kind, call.call_id) == (kind, call_id)), None)
        if found is None:
            return json_reply({"status": 404, "message": "unknown call"}, 404)
        if not self.answers_polls or found.aborted:
            return Reply(500, b"Internal Server Error", {"content-type": "text/plain"})
        if found.data is None:
            return json_reply({}, 202)
        status = found.data.get("status")
        assert isinstance(status, int)
        return json_reply(found.data, status)

    def _ingest(self, call: Call, body: _Ingest) -> dict[str, object]:
        if isinstance(body.text, str):
            text, mime, size = body.text, "text/plain", len(body.text.encode())
        else:
            assert isinstance(body.url, str)
            with urllib.request.urlopen(body.url, timeout=10) as answer:
                data: bytes = answer.read()
                text, mime, size = data.decode(), answer.headers["content-type"] or "text/plain", len(data)
        if not text:
            return {"status": 400, "message": "couldn't parse document"}
        metadata = body.extra_metadata if isinstance(body.extra_metadata, dict) else {}
        chunks = self._chunks(call, text, body.chunk_options)
        self._write_file(call, body.namespace_id, body.document_id, chunks, metadata)
        results_id = str(uuid.uuid5(_CALLS, f"results {call.call_id}"))
        batches = [chunks[at : at + body.batch_size] for at in range(0, len(chunks), body.batch_size)]
        for number, batch in enumerate(batches):
            self._redis[f"results_{results_id}_{number}"] = msgspec.json.encode(batch).decode()
        return {
            "status": 200,
            "metadata": {"filename": body.filename or "", "filetype": mime, "size_in_bytes": size},
            "total_characters": sum(len(str(chunk["text"])) for chunk in chunks),
            "total_chunks": len(chunks),
            "total_batches": len(batches),
            **({"total_pages": 12} if mime in _PAGED else {}),
            "results_id": results_id,
            "batch_template": f"results_{results_id}_[BATCH_INDEX]",
        }

    def _documents(self, call: Call, body: _Request) -> dict[str, object]:
        common = body.extra_metadata if isinstance(body.extra_metadata, dict) else {}
        documents: list[dict[str, object]] = []
        for page in self.pages:
            chunks = self._chunks(call, page.text, body.chunk_options)
            own = {"namespaceId": body.namespace_id, "documentId": page.id, **page.metadata}
            self._write_file(call, body.namespace_id, page.id, chunks, {**common, **own})
            name = {"url": page.name} if call.kind == "crawl" else {"video_id": f"v{page.id}", "title": page.name}
            documents.append(
                {
                    "id": page.id,
                    **name,
                    "total_bytes": len(page.text.encode()),
                    "total_characters": sum(len(str(chunk["text"])) for chunk in chunks),
                    "total_chunks": len(chunks),
                }
            )
        if not documents:
            return {"status": 400, "message": "no documents were found"}
        return {"status": 200, "documents": documents}

    def _chunks(self, call: Call, text: str, options: _ChunkOptions | msgspec.UnsetType) -> list[dict[str, object]]:
        size = options.chunk_size if isinstance(options, _ChunkOptions) else msgspec.UNSET
        step = size if isinstance(size, int) else 2048
        pieces = [text[at : at + step].strip() for at in range(0, len(text), step)]
        chunks: list[dict[str, object]] = []
        for number, piece in enumerate(pieces):
            chunk_id = str(uuid.uuid5(_CALLS, f"{call.call_id} {piece[:40]} {len(call.chunk_ids)}"))
            call.chunk_ids.add(chunk_id)
            chunks.append({"id": chunk_id, "text": piece, "metadata": {"sequence_number": number}})
        return chunks

    def _write_file(
        self,
        call: Call,
        namespace_id: str,
        document_id: str,
        chunks: list[dict[str, object]],
        metadata: Mapping[str, object],
    ) -> None:
        file = {
            "metadata": metadata,
            "total_chunks": len(chunks),
            "total_characters": sum(len(str(chunk["text"])) for chunk in chunks),
            "chunks": chunks,
        }
        key, data = f"namespaces/{namespace_id}/documents/{document_id}/chunks.json", msgspec.json.encode(file)
        if self.writes_late:
            self.late.setdefault(call.call_id, {})[key] = data
        else:
            self._put(key, data)
