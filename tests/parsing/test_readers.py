"""Where documents come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from orchestrator.errors import HttpError, RetryableError
from orchestrator.ports import BlobInfo, HttpResponse
from steps.parsing import BlobReader, DocumentError, DocumentSource, HttpReader, InlineReader
from tests.parsing.support import drive, read_pages

_URL = "https://user:hidden@files.example/report.txt?signature=secret"
_BODY = b"".join(b"Paragraph %d of the report.\n\n" % n for n in range(20_000))


class MemoryBlobs:
    """Object storage in a dictionary."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    async def head(self, key: str) -> BlobInfo | None:
        data = self.objects.get(key)
        return None if data is None else BlobInfo(size=len(data), etag=str(hash(data)))

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes | None:
        data = self.objects.get(key)
        return None if data is None else data[offset : None if length is None else offset + length]

    async def put(self, key: str, data: bytes) -> None:
        self.objects[key] = data

    async def delete(self, *keys: str) -> None:
        for key in keys:
            self.objects.pop(key, None)

    async def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> list[str]:
        return sorted(key for key in self.objects if key.startswith(prefix) and key > after)[:limit]


class FileServer:
    """An HTTP server in memory, of the kind and in the mood that a test needs."""

    def __init__(self, body: bytes, *, ranges: bool = True, etag: str = '"1"') -> None:
        self.body = body
        self.ranges = ranges
        self.etag = etag
        self.requests: list[str] = []
        self.answer: Callable[[], HttpResponse] | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_ms: int = 30_000,
        max_body_bytes: int = 16_000_000,
    ) -> HttpResponse:
        wanted = (headers or {}).get("range", "")
        self.requests.append(wanted)
        assert (method, url, body) == ("GET", _URL, None)
        if self.answer is not None:
            return self.answer()
        common = {"etag": self.etag, "content-type": "text/plain; charset=utf-8"}
        if self.ranges and wanted:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            if int(first) >= len(self.body):
                return HttpResponse(416, {**common, "content-range": f"bytes */{len(self.body)}"}, b"")
            part = self.body[int(first) : int(last) + 1]
            span = f"bytes {first}-{int(first) + len(part) - 1}/{len(self.body)}"
            return HttpResponse(206, {**common, "content-range": span}, part)
        if len(self.body) > max_body_bytes:
            raise HttpError("too large", code="http_body_too_large")
        return HttpResponse(200, common, self.body)


def _read(reader: InlineReader | BlobReader | HttpReader) -> str:
    source = DocumentSource(reader, document_id="doc", filename="a.txt", range_bytes=100_000)
    return "\n\n".join(chunk.text for page in read_pages(source, 50) for chunk in page.items)


def test_every_reader_reads_the_same() -> None:
    blobs = MemoryBlobs({"key": _BODY})
    expected = _BODY.decode().strip()
    assert _read(InlineReader(_BODY.decode())) == expected
    assert _read(drive(BlobReader.open(blobs, "key"))) == expected
    assert _read(drive(HttpReader.open(FileServer(_BODY), _URL))) == expected
    assert _read(drive(HttpReader.open(FileServer(_BODY, ranges=False), _URL))) == expected


def test_inline_text_with_half_a_surrogate_pair_is_read() -> None:
    assert _read(InlineReader("half \ud83d pair")) == "half ? pair"


def test_a_missing_object() -> None:
    with pytest.raises(DocumentError) as caught:
        drive(BlobReader.open(MemoryBlobs({}), "namespaces/ns/file.pdf"))
    assert caught.value.error_code == "object_not_found"
    assert str(caught.value) == "Object not found: namespaces/ns/file.pdf"
    assert not caught.value.retryable


def test_an_object_that_vanishes() -> None:
    blobs = MemoryBlobs({"key": _BODY})
    reader = drive(BlobReader.open(blobs, "key"))
    drive(blobs.delete("key"))
    with pytest.raises(DocumentError, match="Object not found: key"):
        drive(reader.read(0, 10))


def test_ranges_are_asked_for_one_after_the_other() -> None:
    server = FileServer(_BODY)
    reader = drive(HttpReader.open(server, _URL))
    assert reader.size_bytes == len(_BODY)
    assert reader.content_type == "text/plain; charset=utf-8"
    assert drive(reader.read(100_000, 50)) == _BODY[100_000:100_050]
    assert drive(reader.read(len(_BODY) - 10, 50)) == _BODY[-10:]
    assert drive(reader.read(len(_BODY), 50)) == b""
    assert drive(reader.read(5, 10)) == _BODY[5:15]
    assert server.requests == ["bytes=0-65535", "bytes=100000-100049", f"bytes={len(_BODY) - 10}-{len(_BODY) - 1}"]


def test_without_range_support_the_body_is_fetched_once() -> None:
    server = FileServer(_BODY, ranges=False)
    _read(drive(HttpReader.open(server, _URL)))
    assert len(server.requests) == 1


def test_without_range_support_the_size_is_limited() -> None:
    with pytest.raises(DocumentError) as caught:
        drive(HttpReader.open(FileServer(bytes(65 * 1024 * 1024), ranges=False), _URL))
    assert caught.value.error_code == "document_too_large"
    assert "larger than 64 MiB" in str(caught.value)


def test_an_empty_resource() -> None:
    assert drive(HttpReader.open(FileServer(b""), _URL)).size_bytes == 0
    assert drive(HttpReader.open(FileServer(b"", ranges=False), _URL)).size_bytes == 0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_statuses_that_stay(status: int) -> None:
    server = FileServer(_BODY)
    server.answer = lambda: HttpResponse(status, {}, b"<html>no</html>")
    with pytest.raises(DocumentError) as caught:
        drive(HttpReader.open(server, _URL))
    assert caught.value.error_code == "download_failed"
    assert str(caught.value) == f"Download failed with HTTP status {status}: https://files.example/report.txt"
    assert "secret" not in repr(caught.value)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_statuses_that_pass(status: int) -> None:
    server = FileServer(_BODY)
    reader = drive(HttpReader.open(server, _URL))
    server.answer = lambda: HttpResponse(status, {"retry-after": "7"}, b"")
    with pytest.raises(RetryableError) as caught:
        drive(reader.read(100_000, 10))
    assert caught.value.retryable
    assert caught.value.retry_after_ms == 7000
    assert "secret" not in str(caught.value)
    server.answer = None
    assert drive(reader.read(100_000, 10)) == _BODY[100_000:100_010]


@pytest.mark.parametrize("change", ["etag", "size", "ranges"])
def test_a_resource_that_changes(change: str) -> None:
    server = FileServer(_BODY)
    reader = drive(HttpReader.open(server, _URL))
    if change == "etag":
        server.etag = '"2"'
    elif change == "size":
        server.body += b"more"
    else:
        server.ranges = False
    with pytest.raises(DocumentError) as caught:
        drive(reader.read(100_000, 10))
    assert caught.value.error_code == "document_changed"
