"""The route of every call: it admits callers by what the handler declares, and reads JSON bodies strictly."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine

import msgspec
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from durable.http.access import access_of, admit
from durable.http.host import host_of
from durable.http.trail import audited, is_audited


class StrictRequest(Request):
    """A request whose JSON is read by the parser that also stores it.

    What Python's own parser lets pass (NaN, lone surrogates, 1e400) is refused here.
    """

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
    """A route that admits callers before anything of the request is looked at, and reads it as a StrictRequest.

    Raises:
        DefinitionError: its handler does not say who may call it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[None, None, Response]]:
        """See :class:`fastapi.routing.APIRoute`."""
        handle = super().get_route_handler()
        access = access_of(self.endpoint)

        async def strict(request: Request) -> Response:
            admit(access, host_of(request).principal)
            strictly = StrictRequest(request.scope, request.receive)
            if is_audited(access, request.method):
                return await audited(strictly, self.name, lambda: handle(strictly))
            return await handle(strictly)

        return strict
