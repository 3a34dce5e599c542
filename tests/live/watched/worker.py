"""The product's main module, whose jobs say when they come into memory."""

from __future__ import annotations

from durable import bridge
from durable.job_object import JobObject as ProductJobObject
from durable.object_platform import write_log
from durable.worker import *  # noqa: F403 # pyright: ignore[reportAssignmentType] - one is replaced below


class JobObject(ProductJobObject):
    """The product's object."""

    def __init__(self, ctx: object, env: object) -> None:
        super().__init__(ctx, env)
        write_log("info", "test.in_memory", {"job_id": bridge.object_name(ctx)})
