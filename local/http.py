"""The ``Http`` port on CPython, over httpx."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from functools import cache
from types import TracebackType
from urllib.parse import urlsplit

import httpx

from orchestrator.errors import HttpError
from orchestrator.ports import HttpResponse


class HttpxHttp:
    """Outgoing HTTP with kept-alive connections, implementing :class:`orchestrator.ports.Http`.

    Use it within one event loop, and close it there: ``async with HttpxHttp() as http``. Redirects are answers like any
    other, and the environment's proxies and certificates are not looked at.
    """

    def __init__(self) -> None:
        # One deadline for the whole exchange replaces httpx's own, which restart with every chunk.
        self._client = httpx.AsyncClient(
            verify=_tls(),
            timeout=None,  # noqa: S113
            follow_redirects=False,
            trust_env=False,
        )

    async def __aenter__(self) -> HttpxHttp:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

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
        where = f"{method} {_origin(url)}"
        answered: dict[str, object] = {}
        try:
            async with (
                asyncio.timeout(timeout_ms / 1000),
                self._client.stream(method, url, headers=dict(headers or {}), content=body) as response,
            ):
                answered["status"] = response.status_code
                received = bytearray()
                async for chunk in response.aiter_bytes():
                    received += chunk
                    if len(received) > max_body_bytes:
                        raise HttpError(
                            f"{where}: the answer is larger than {max_body_bytes} bytes",
                            code="http_body_too_large",
                            details=answered,
                        )
                return HttpResponse(response.status_code, dict(response.headers), bytes(received))
        except TimeoutError as error:
            message = f"{where}: no complete answer within {timeout_ms} ms"
            raise HttpError(message, code="http_timeout", details=answered) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise HttpError(f"{where}: {type(error).__name__}", details=answered) from error


@cache
def _tls() -> ssl.SSLContext:
    """Return the trusted certificates; reading them takes 20 ms, so once is enough."""
    return httpx.create_ssl_context(trust_env=False)


def _origin(url: str) -> str:
    """Name the server without the path and query, which may hold a signature."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname}"
    except ValueError:
        return "an invalid address"
