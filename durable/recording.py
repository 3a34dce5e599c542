"""Recording a job so that two know of it before anybody is told that it is: its own object, and who will ask for it.

Asked at the same moment, so nobody waits longer (docs/decisions/0060-expected-jobs.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from orchestrator.model import Created, CreateJob
from orchestrator.new_job import is_awaited

Create = Callable[[CreateJob], Awaitable[Created]]
Expect = Callable[[str], Awaitable[None]]


async def record(request: CreateJob, create: Create, expect: Expect) -> Created:
    """Record a job.

    Args:
        request: the job.
        create: has the job's own object record it.
        expect: has the catalog look for it, unless it tells of itself.

    Raises:
        RetryableError: one of the two does not answer. The job may be recorded; asking again does no harm.
    """
    if is_awaited(request):
        return await create(request)
    created, _ = await asyncio.gather(create(request), expect(request.job_id))
    return created
