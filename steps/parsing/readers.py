"""Where documents come from: stored objects, HTTP resources, inline text."""

from __future__ import annotations

from typing import Protocol, Self
from urllib.parse import urlsplit

from orchestrator.errors import HttpError, RetryableError
from orchestrator.ports import BlobInfo, Http, HttpResponse
from steps.parsing.errors import DocumentError
from steps.parsing.limits import HTTP_WHOLE_BODY_BYTES_MAX, SNIFF_BYTES

#: Statuses that another attempt may mend (RFC 9110: request timeout, too early; RFC 6585: too many requests).
_RETRYABLE = frozenset({408, 425, 429})


class InlineReader:
    """A document given as text."""

    def __init__(self, text: str) -> None:
        # Half a surrogate pair can come in through JSON, but cannot be encoded.
        self._data = text.encode("utf-8", "replace")

    @property
    def size_bytes(self) -> int:
        """Size in UTF-8."""
        return len(self._data)

    async def read(self, offset: int, length: int) -> bytes:
        """Return a range."""
        return self._data[offset : offset + length]


class BlobSource(Protocol):
    """The part of :class:`orchestrator.ports.Blobs` that reading needs."""

    async def head(self, key: str) -> BlobInfo | None:
        """See :class:`orchestrator.ports.Blobs`."""
        ...

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes | None:
        """See :class:`orchestrator.ports.Blobs`."""
        ...


class BlobReader:
    """A stored object. Use `open`.

    Args:
        blobs: the store.
        key: the object's key.
        size_bytes: the object's size.
    """

    def __init__(self, blobs: BlobSource, key: str, size_bytes: int) -> None:
        self._blobs = blobs
        self._key = key
        self._size_bytes = size_bytes

    @classmethod
    async def open(cls, blobs: BlobSource, key: str) -> Self:
        """Look the object up.

        Raises:
            DocumentError: code ``object_not_found``.
        """
        info = await blobs.head(key)
        if info is None:
            raise _object_not_found(key)
        return cls(blobs, key, info.size)

    @property
    def size_bytes(self) -> int:
        """Size of the object when it was opened."""
        return self._size_bytes

    async def read(self, offset: int, length: int) -> bytes:
        """Return a range.

        Raises:
            DocumentError: code ``object_not_found``.
        """
        data = await self._blobs.get(self._key, offset=offset, length=length)
        if data is None:
            raise _object_not_found(self._key)
        return data


def _object_not_found(key: str) -> DocumentError:
    return DocumentError(f"Object not found: {key}", code="object_not_found")


class HttpReader:
    """An HTTP resource, read in ranges, or whole when the server does not know ranges. Use `open`.

    Asking for the first range also tells the size. A HEAD request would need its own signature on presigned URLs.

    Args:
        http: the client.
        url: absolute URL. Its query may hold a signature and is never shown.
    """

    def __init__(self, http: Http, url: str) -> None:
        self._http = http
        self._url = url
        self._size_bytes: int | None = None
        #: The first range, or the whole body when ranges are not supported.
        self._start = b""
        self._etag: str | None = None
        self._content_type: str | None = None

    @classmethod
    async def open(cls, http: Http, url: str) -> Self:
        """Fetch the start of the resource.

        Raises:
            DocumentError: ``download_failed``, or ``document_too_large`` without range support.
            RetryableError: the server is overloaded or unreachable.
        """
        reader = cls(http, url)
        await reader._fetch_start()
        return reader

    @property
    def size_bytes(self) -> int:
        """Size of the resource when it was opened."""
        if self._size_bytes is None:
            raise RuntimeError("HttpReader.open() comes first")
        return self._size_bytes

    @property
    def content_type(self) -> str | None:
        """The declared MIME type."""
        return self._content_type

    async def read(self, offset: int, length: int) -> bytes:
        """Return a range.

        Raises:
            DocumentError: ``download_failed``, ``document_changed``.
            RetryableError: the server is overloaded or unreachable.
        """
        end = min(offset + length, self.size_bytes)
        if end <= offset:
            return b""
        if end <= len(self._start):
            return self._start[offset:end]
        answer = await self._request(offset, end)
        changed = answer.status != 206 or answer.headers.get("etag") != self._etag
        if changed or _total(answer) != self.size_bytes or not answer.body:
            message = f"The document changed while it was being read: {self._shown_url()}"
            raise DocumentError(message, code="document_changed")
        return answer.body[: end - offset]

    async def _fetch_start(self) -> None:
        answer = await self._request(0, SNIFF_BYTES)
        self._content_type = answer.headers.get("content-type")
        self._etag = answer.headers.get("etag")
        if answer.status == 416:
            # A range of an empty resource cannot be satisfied.
            self._size_bytes = 0
            return
        self._start = answer.body
        total = _total(answer) if answer.status == 206 else len(answer.body)
        if total is None:
            raise DocumentError(f"Download failed: no size was given by {self._shown_url()}", code="download_failed")
        self._size_bytes = total

    async def _request(self, start: int, end: int) -> HttpResponse:
        headers = {"range": f"bytes={start}-{end - 1}", "accept-encoding": "identity"}
        try:
            answer = await self._http.request(
                "GET", self._url, headers=headers, max_body_bytes=HTTP_WHOLE_BODY_BYTES_MAX
            )
        except HttpError as error:
            if error.error_code != "http_body_too_large":
                raise
            limit = HTTP_WHOLE_BODY_BYTES_MAX // (1024 * 1024)
            message = (
                f"The document is larger than {limit} MiB and its server does not support ranges: {self._shown_url()}"
            )
            raise DocumentError(message, code="document_too_large") from None
        if answer.status in (200, 206) or (answer.status == 416 and start == 0 and _total(answer) == 0):
            return answer
        raise self._failed(answer)

    def _failed(self, answer: HttpResponse) -> DocumentError | RetryableError:
        message = f"Download failed with HTTP status {answer.status}: {self._shown_url()}"
        details = {"status": answer.status}
        if answer.status in _RETRYABLE or answer.status >= 500:
            seconds = answer.headers.get("retry-after", "")
            wait_ms = int(seconds) * 1000 if seconds.isascii() and seconds.isdigit() and len(seconds) < 7 else None
            return RetryableError(message, code="download_failed", details=details, retry_after_ms=wait_ms)
        return DocumentError(message, code="download_failed", details=details)

    def _shown_url(self) -> str:
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"


def _total(answer: HttpResponse) -> int | None:
    """Return the resource's size from ``Content-Range: bytes 0-99/1234``."""
    size = answer.headers.get("content-range", "").rpartition("/")[2].strip()
    return int(size) if size.isascii() and size.isdigit() and len(size) < 19 else None
