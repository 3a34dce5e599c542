"""The product's main module, and a look at what its interpreter holds."""

from __future__ import annotations

import gc
from types import MethodType
from typing import Any
from urllib.parse import urlsplit

from workers import Response

from durable.worker import *  # noqa: F403 # pyright: ignore[reportAssignmentType] - one is replaced below
from durable.worker import Default as ProductDefault


class Default(ProductDefault):
    """The product's entrypoint, and the probe's route."""

    async def fetch(self, request: Any) -> Any:
        """Answer a request; only the probe's route is new."""
        if urlsplit(str(request.url)).path == "/held":
            gc.collect()
            methods = [item for item in gc.get_objects() if isinstance(item, MethodType)]
            return Response(str(sum(item.__name__ == "alarm" for item in methods)))
        return await super().fetch(request)
