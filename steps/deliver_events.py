"""``deliver-events``: hands an organization's events to ``send-webhook`` jobs, one for each event and webhook.

Jobs write their events to an outbox in the transaction of what they announce, and that is all they do about them: no
receiver, cache or queue can fail a document (W-15). This workflow empties the outbox. It is started soon after events
were written, and by the platform's tick for whatever is left (``durable/event_delivery.py``). Two of it at once do no
harm: a delivery's job is named by event and webhook (W-11), and an event leaves the outbox once its jobs are recorded.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from orchestrator import Batch, BatchSize, JobContext, Page, RetryPolicy, WorkflowOptions, current_step, workflow
from orchestrator.errors import OrchestratorError
from orchestrator.model import JobOptions
from steps.platform import outbox, webhooks
from steps.platform.outbox import Pending, Stored
from steps.services import services
from steps.webhooks.payload import event_payload

#: The outbox keeps what cannot be handed over now, and the next tick tries again.
_RETRY = RetryPolicy(max_attempts=6, max_interval_ms=30_000)
#: Events per batch; their payloads are loaded in groups that fit in memory.
_BATCH = BatchSize(initial=50, minimum=1, maximum=1_000)
#: First attempts at one webhook that a run has begin in one second. A receiver is not run over when thousands of
#: documents are ingested at once, and this costs no call, which a lane's permit for every attempt does.
STARTS_PER_S = 50
#: Deliveries recorded at the same time.
_CONCURRENCY = 10
#: Recorded by an earlier attempt, which was told to cut texts elsewhere; or not to be recorded ever, which is no reason
#: to keep the organization's other events.
_SETTLED = frozenset({"idempotency_conflict", "invalid_payload", "payload_too_large", "value_too_large"})


class DeliverEventsPayload(BaseModel):
    """Whose events."""

    model_config = ConfigDict(
        alias_generator=to_camel, frozen=True, json_schema_extra={"examples": [{"organizationId": "org1"}]}
    )

    organization_id: str = Field(min_length=1)


class Handed(msgspec.Struct, frozen=True):
    """What a run has done so far."""

    #: Deliveries by webhook.
    deliveries: dict[str, int] = {}


class Delivery(msgspec.Struct, frozen=True):
    """An event for a webhook, and how long it is to wait."""

    event: Stored
    webhook_id: str
    delay_ms: int


class PendingEvents:
    """An organization's events, oldest first. Implements ``Source``: what was read and handled is gone from it.

    Args:
        organization_id: whose.
    """

    def __init__(self, organization_id: str) -> None:
        self._organization_id = organization_id

    async def read(self, cursor: object, limit: int, /) -> Page[Pending]:
        """Return the oldest events; there is no cursor, since an event may be committed behind any."""
        events = await outbox.pending(services().database(), self._organization_id, limit)
        return Page(events, None, done=len(events) < limit)


@workflow("deliver-events", options=WorkflowOptions(retry=_RETRY))
async def deliver_events(job: JobContext, payload: DeliverEventsPayload) -> dict[str, object]:
    """Hand an organization's events to deliveries."""
    organization_id, began_ms = payload.organization_id, job.now_ms()

    async def hand_over(batch: Batch[Pending, Handed]) -> Handed:
        return await _hand_over(organization_id, batch, began_ms)

    result = await job.each(
        "events", PendingEvents(organization_id), hand_over, state=Handed(), batch=_BATCH, unit="events"
    )
    deliveries = sum(result.state.deliveries.values())
    return {"organizationId": organization_id, "events": result.items, "deliveries": deliveries}


async def _hand_over(organization_id: str, batch: Batch[Pending, Handed], began_ms: int) -> Handed:
    """Record the deliveries of a batch of events, and take the events off the outbox."""
    database = services().database()
    receivers = await webhooks.receivers(database, organization_id)
    wanted = {
        event.id: found
        for event in batch.items
        if (found := [item.id for item in receivers if item.wants(event.event, event.namespace_id)])
    }
    counts = Counter(batch.state.deliveries)
    text_chars = services().settings.webhooks.text_chars
    for group in outbox.groups([event for event in batch.items if event.id in wanted]):
        deliveries: list[Delivery] = []
        for stored in await outbox.payloads(database, group, text_chars):
            for webhook_id in wanted[stored.id]:
                start_ms = began_ms + counts[webhook_id] // STARTS_PER_S * 1_000
                deliveries.append(Delivery(stored, webhook_id, max(0, start_ms - current_step().now_ms)))
                counts[webhook_id] += 1
        await _record_all(deliveries)
        await outbox.remove(database, group)
    rest = [event.id for event in batch.items if event.id not in wanted]
    if rest:
        await outbox.remove(database, rest)
    return Handed(dict(counts))


async def _record_all(deliveries: Sequence[Delivery]) -> None:
    left = deque(deliveries)

    async def work() -> None:
        while left:
            await _record(left.popleft())

    workers = [asyncio.ensure_future(work()) for _ in range(min(_CONCURRENCY, len(left)))]
    try:
        await asyncio.gather(*workers)
    except BaseException:
        # The step has failed: nothing of it may go on once it is tried again.
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        raise


async def _record(delivery: Delivery) -> None:
    stored, webhook_id = delivery.event, delivery.webhook_id
    payload = event_payload(stored.event, msgspec.json.decode(stored.payload), text_cut=stored.text_cut)
    request = {"webhookId": webhook_id, "eventId": stored.id, "event": stored.event, "payload": payload}
    options = JobOptions(delay_ms=delivery.delay_ms)
    try:
        await current_step().start_job("send-webhook", f"{stored.id}:{webhook_id}", request, options=options)
    except OrchestratorError as error:
        if error.error_code not in _SETTLED:
            raise
        current_step().log("no new delivery", event=stored.id, webhook=webhook_id, reason=error.error_code)
