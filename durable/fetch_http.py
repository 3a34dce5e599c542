"""The ``Http`` port on the platform's ``fetch``."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from durable import bridge
from orchestrator.errors import HttpError
from orchestrator.meter import Meter
from orchestrator.ports import HttpResponse


class FetchHttp:
    """Outgoing HTTP, implementing :class:`orchestrator.ports.Http`. Redirects are answers like any other.

    Args:
        meter: counts the requests.
    """

    def __init__(self, meter: Meter | None = None) -> None:
        self._meter = meter or Meter()

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
        self._meter.subrequests += 1
        # Only the origin goes into errors: paths and queries may carry secrets.
        parts = urlsplit(url)
        where = f"{method} {parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        try:
            status, names, data = await bridge.fetch(method, url, headers or {}, body, timeout_ms, max_body_bytes)
        except bridge.FetchBodyError as error:
            message = f"{where}: the answer is larger than {max_body_bytes} bytes"
            raise HttpError(message, code="http_body_too_large", details={"status": error.status}) from None
        except bridge.FetchError as error:
            answered = {} if error.status is None else {"status": error.status}
            if error.timed_out:
                message = f"{where}: no whole answer within {timeout_ms} ms"
                raise HttpError(message, code="http_timeout", details=answered) from None
            raise HttpError(f"{where}: {error}", code="http_unreachable", details=answered) from None
        return HttpResponse(status, names, data)
