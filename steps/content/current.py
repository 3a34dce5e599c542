"""What readers read through: they stay in memory between slices, and the adapters of an ended slice do not."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.ports import BlobInfo, HttpResponse
from steps.outbound import OutboundHttp
from steps.services import services


class CurrentBlobs:
    """The main bucket of whichever slice is reading."""

    async def head(self, key: str) -> BlobInfo | None:
        """See :class:`orchestrator.ports.Blobs`."""
        return await services().blobs.head(key)

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes | None:
        """See :class:`orchestrator.ports.Blobs`."""
        return await services().blobs.get(key, offset=offset, length=length)


class CurrentHttp:
    """The way out of whichever slice is reading, to addresses that customers name."""

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
        """See :class:`orchestrator.ports.Http`."""
        current = services()
        http = OutboundHttp(current.http, current.settings.outbound)
        return await http.request(
            method, url, headers=headers, body=body, timeout_ms=timeout_ms, max_body_bytes=max_body_bytes
        )
