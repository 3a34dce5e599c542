"""``send-webhook``: hands one event to one webhook, however long that takes (domain.md §2.9, §5.4).

Its payload names the webhook; address, secret and whether it is enabled are read at every attempt and never stored
(W-31). The waits between attempts are timers: a delivery that takes five days costs a few seconds of running.
"""

from __future__ import annotations

import hashlib
import random
from typing import Annotated

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from orchestrator import (
    JobContext,
    RetryPolicy,
    StepFailedError,
    WorkflowOptions,
    current_step,
    workflow,
)
from orchestrator.operations import Operation
from orchestrator.ports import Connection
from steps.platform import webhooks
from steps.platform.webhooks import Counted
from steps.redis import redis_for
from steps.services import services
from steps.webhooks.delivery import UNREACHABLE_STATUS, deliver
from steps.webhooks.delivery_log import LOG_RETRY, LogRow, log_delivery
from steps.webhooks.emails import failure_email, send_email
from steps.webhooks.ladder import next_wait_ms
from steps.webhooks.payload import body_of

#: The database is waited for, two days if need be: an event is not lost to its outage.
_DATABASE_RETRY = RetryPolicy(max_attempts=300, max_interval_ms=600_000)
#: Cache and email are told for about an hour; a delivery does not fail with them.
_NOTICE_RETRY = RetryPolicy(max_attempts=15, max_interval_ms=600_000)
DISABLED = "Webhook has been disabled"
DELETED = "Webhook has been deleted"

Id = Annotated[str, Field(min_length=1)]


_EXAMPLE: JsonDict = {
    "webhookId": "wh_everywhere",
    "eventId": "evt_7Yq0vZ0m3k1c9Jm2s5b8Xw4nQ",
    "event": "ingest_job.ready",
    "payload": {
        "id": "evt_7Yq0vZ0m3k1c9Jm2s5b8Xw4nQ",
        "event": "ingest_job.ready",
        "createdAt": "2026-01-05T10:00:00.000Z",
        "data": {"id": "job_cjob0000000000000000000002", "status": "COMPLETED"},
    },
}


class SendWebhookPayload(BaseModel):
    """Which event goes to which webhook. A payload that carries an address or a secret is refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, frozen=True, extra="forbid", json_schema_extra={"examples": [_EXAMPLE]}
    )

    webhook_id: Id
    event_id: Id
    event: Id
    #: The event itself, as it is sent.
    payload: dict[str, object]


class Attempted(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an attempt: a checkpoint, so it holds no secret."""

    status: int
    response: str = ""
    delivered: bool = False
    #: Why the delivery ends without having been tried.
    ended: str | None = None
    #: How long to wait before the next attempt; None when there is none.
    wait_ms: int | None = None
    #: Whether earlier deliveries have failed in a row.
    failing: bool = False
    #: Whether deliveries are logged.
    logged: bool = False


@workflow(
    "send-webhook", options=WorkflowOptions(retry=_DATABASE_RETRY, tags=("webhook_{webhook_id}", "event_{event_id}"))
)
async def send_webhook(job: JobContext, payload: SendWebhookPayload) -> dict[str, object] | None:
    """Deliver an event to a webhook, and see to what follows when it cannot be delivered."""
    attempt = 1
    attempted = await job.step("attempt", _attempt, payload, attempt)
    while attempted.wait_ms is not None:
        job.log("not delivered", attempt=attempt, status=attempted.status, next_in_s=attempted.wait_ms // 1000)
        await job.sleep(attempted.wait_ms)
        attempt += 1
        attempted = await job.step("attempt", _attempt, payload, attempt)
    if attempted.ended is not None:
        return _result(attempted.status, attempted.ended, success=False)
    # A final 3xx is no failure, as ever; it means that the receiver is there.
    success = attempted.status < 400
    counted = Counted()
    if not success:
        counted = await job.transaction("count failure", _count_failure, payload.webhook_id, payload.event_id)
    elif attempted.failing:
        await job.transaction("forget failures", webhooks.forget_failures, payload.webhook_id)
    await _tell(job, payload, attempted, counted)
    if success:
        return _result(attempted.status, attempted.response, success=True)
    return _result(UNREACHABLE_STATUS, DISABLED, success=False) if counted.was_disabled else None


async def _tell(job: JobContext, payload: SendWebhookPayload, attempted: Attempted, counted: Counted) -> None:
    """Tell cache, owner and log. None of them may deliver the event again or fail the delivery (W-26)."""
    if counted.disabled and counted.organization_id is not None:
        drop = job.options(retry=_NOTICE_RETRY).step("drop cache", _drop_cache, counted.organization_id)
        await _untroubled(job, "drop cache", drop)
    if counted.warns:
        warn = job.options(retry=_NOTICE_RETRY).step("email", _warn, payload.webhook_id, payload.event_id, counted)
        await _untroubled(job, "email", warn)
    if attempted.logged:
        await _untroubled(job, "log", job.options(retry=LOG_RETRY).step("log", _log, payload, attempted))


async def _untroubled(job: JobContext, name: str, operation: Operation[bool]) -> None:
    """Run a step whose failure is noted and changes nothing."""
    try:
        await operation
    except StepFailedError as error:
        job.set_metadata(f"{name} failed", error.record.code)


async def _attempt(payload: SendWebhookPayload, attempt: int) -> Attempted:
    current = services()
    found = await webhooks.target(current.database(), payload.webhook_id)
    if found is None:
        return Attempted(status=404, ended=DELETED)
    if not found.enabled:
        return Attempted(status=UNREACHABLE_STATUS, ended=DISABLED)
    body = body_of(payload.payload)
    answer = await deliver(current.http, current.settings.outbound, found.url, found.secret, body, attempt)
    wait_ms = None
    if not answer.delivered:
        wait_ms = next_wait_ms(
            attempt,
            unreachable=answer.unreachable,
            policy=current.settings.webhooks.unreachable,
            random=random.random(),  # noqa: S311 - spreads retries
        )
    return Attempted(
        status=answer.status,
        response=answer.response,
        delivered=answer.delivered,
        wait_ms=wait_ms,
        failing=found.failures > 0,
        logged=current.settings.webhooks.logs,
    )


async def _count_failure(connection: Connection, webhook_id: str, event_id: str) -> Counted:
    return await webhooks.count_failure(connection, webhook_id, event_id)


async def _drop_cache(organization_id: str) -> bool:
    """Drop the platform's list of the organization's webhooks, which says that this one is enabled."""
    current = services()
    redis = redis_for(current.settings.redis, current.http)
    return redis is not None and await redis.delete([f"webhook:org:{organization_id}"]) > 0


async def _warn(webhook_id: str, event_id: str, counted: Counted) -> bool:
    """Write to the owner. A count is reached once per streak, by one delivery, so that its event names the streak."""
    current = services()
    owner = await webhooks.owner(current.database(), webhook_id)
    if owner is None:
        return False
    settings = current.settings.webhooks
    email = failure_email(owner, webhook_id, counted, settings.app_domain)
    key = hashlib.sha256(f"{webhook_id}\x1f{counted.failures}\x1f{event_id}".encode()).hexdigest()
    return await send_email(current.http, settings, email, f"webhook-failures/{key}")


async def _log(payload: SendWebhookPayload, attempted: Attempted) -> bool:
    current, step = services(), current_step()
    found = await webhooks.target(current.database(), payload.webhook_id)
    row = LogRow(
        event_id=payload.event_id,
        webhook_id=payload.webhook_id,
        task_id=step.job_id,
        event=payload.event,
        url="" if found is None else found.url,
        http_status=attempted.status,
        request_body=body_of(payload.payload).decode(),
        response_body=attempted.response,
    )
    return await log_delivery(current.http, current.settings.webhooks, row, step.attempt)


def _result(status: int, response: str, *, success: bool) -> dict[str, object]:
    return {"success": success, "status": status, "response": response}
