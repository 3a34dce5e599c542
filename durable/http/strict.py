"""Reading JSON bodies strictly: what Python's own parser lets pass (NaN, lone surrogates, 1e400) is refused here."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine

import msgspec
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response


class StrictRequest(Request):
    """A request whose JSON is read by the parser that also stores it."""

    async def json(self) -> object:
        """Return the body's value.

        Raises:
            json.JSONDecodeError: the body is not JSON; the framework expects this class.
        """
        body = await self.body()
        try:
            return msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise json.JSONDecodeError("not JSON", "", 0) from None


class StrictRoute(APIRoute):
    """A route that reads its body with :class:`StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[None, None, Response]]:
        """See :class:`fastapi.routing.APIRoute`."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return strict
