"""Has customers' events delivered: soon after they were written, and by every platform tick whatever is left.

``deliver-events`` jobs are named by organization and time slot, and start when their slot is over. So however many
documents announce something at once, an organization gets one such job per slot; and what was written before somebody
asked is there when the job looks. That is why an isolate asks once per slot. A request that is lost costs a minute at
most, since events stay in their table until a tick finds them.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Mapping

from orchestrator.limits import MAX_TAG_CHARS
from orchestrator.logs import describe
from orchestrator.model import CreateJob, JobOptions
from orchestrator.ports import Clock, Connection
from orchestrator.reuse import keyed_job_id
from steps.platform.outbox import organizations_behind

WORKFLOW = "deliver-events"
SLOT_MS = 2_000
#: Clocks of two machines may differ by this much.
MARGIN_MS = 250
#: These jobs have nothing to tell afterwards.
RETENTION_MS = 600_000
#: Events that are older than this were not delivered soon.
BEHIND_S = 10
#: Organizations looked up, and of them served, per tick; which ones is drawn, so that none is always left out.
MAX_BEHIND, MAX_SERVED = 10_000, 500

Create = Callable[[CreateJob], Awaitable[object]]
Log = Callable[[str, str, Mapping[str, object]], None]


class EventDelivery:
    """Asks for deliveries. Never raises: nobody who has written an event may fail for it (W-15).

    Args:
        clock: the wall clock.
        log: writes a log line.
    """

    def __init__(self, clock: Clock, log: Log) -> None:
        self._clock = clock
        self._log = log
        #: The slot last asked for, by organization.
        self._asked: dict[str, int] = {}

    async def soon(self, organization_ids: Iterable[str], create: Create) -> None:
        """Have the organizations' events delivered, seconds from now.

        Args:
            organization_ids: whose events.
            create: records a job.
        """
        for organization_id in sorted(organization_ids):
            now_ms = self._clock.now_ms()
            slot = now_ms // SLOT_MS
            if self._asked.get(organization_id) == slot:
                continue
            try:
                await create(delivery_job(organization_id, now_ms))
            except Exception as error:
                self._log("warning", "events.postponed", {"organization": organization_id, "error": describe(error)})
            else:
                self._remember(organization_id, slot)

    async def rest(self, database: Connection, create: Create) -> None:
        """Have whatever events are left delivered: the work of a platform tick."""
        try:
            behind = await organizations_behind(database, BEHIND_S, MAX_BEHIND)
        except Exception as error:
            self._log("error", "events.round_failed", {"error": describe(error)})
            return
        if behind:
            self._log("info", "events.round", {"organizations": len(behind)})
        served = random.sample(behind, MAX_SERVED) if len(behind) > MAX_SERVED else behind
        await self.soon(served, create)

    def _remember(self, organization_id: str, slot: int) -> None:
        if len(self._asked) > MAX_BEHIND:
            self._asked = {name: asked for name, asked in self._asked.items() if asked == slot}
        self._asked[organization_id] = slot


def delivery_job(organization_id: str, now_ms: int) -> CreateJob:
    """Return the job that delivers what an organization has announced up to the end of the current slot."""
    slot = now_ms // SLOT_MS
    key = f"{organization_id}:{slot}"
    options = JobOptions(
        idempotency_key=key,
        mode="direct",
        delay_ms=(slot + 1) * SLOT_MS + MARGIN_MS - now_ms,
        retention_ms=RETENTION_MS,
        tags=(f"org_{organization_id}"[:MAX_TAG_CHARS],),
    )
    return CreateJob(
        job_id=keyed_job_id(WORKFLOW, key),
        workflow=WORKFLOW,
        payload={"organizationId": organization_id},
        options=options,
    )
