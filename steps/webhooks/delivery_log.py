"""The log of deliveries at Tinybird: one row per delivery, after its last attempt (domain.md §5.4)."""

from __future__ import annotations

import msgspec

from orchestrator import RetryPolicy
from orchestrator.errors import RetryableError
from orchestrator.ports import Http
from steps.json_api import JsonApi
from steps.webhooks.settings import WebhookSettings

#: Eleven attempts; the waits between them are :func:`_wait_ms`.
LOG_RETRY = RetryPolicy(max_attempts=11)
_DATA_SOURCE = "agentset_webhook_events"


class LogRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the log."""

    event_id: str
    webhook_id: str
    #: The orchestrator's job.
    task_id: str
    event: str
    url: str
    http_status: int
    request_body: str
    response_body: str


class _Taken(msgspec.Struct, frozen=True):
    successful_rows: int = 0
    quarantined_rows: int = 0


async def log_delivery(http: Http, settings: WebhookSettings, row: LogRow, attempt: int) -> bool:
    """Write a row; tell whether there is a log at all.

    Args:
        http: the way out.
        settings: where the log is.
        row: what to write.
        attempt: 1-based, of this step; decides how long the next one waits.

    Raises:
        RetryableError: the log did not take it now.
        NonRetryableError: it never will.
    """
    if settings.tinybird_url is None or settings.tinybird_key is None:
        return False
    headers = {"authorization": f"Bearer {settings.tinybird_key}", "content-type": "application/x-ndjson"}
    api = JsonApi(
        http,
        name="Tinybird",
        area="delivery_log",
        base_url=settings.tinybird_url.rstrip("/"),
        headers=headers,
        secret=settings.tinybird_key,
    )
    try:
        taken = await api.post(f"/v0/events?name={_DATA_SOURCE}", row, _Taken)
    except RetryableError as error:
        wait_ms = error.retry_after_ms or _wait_ms(attempt)
        raise RetryableError(str(error), code=error.error_code, retry_after_ms=wait_ms) from error
    if taken.quarantined_rows:
        raise api.bad_answer("the row does not fit the data source and is in quarantine")
    return True


def _wait_ms(attempt: int) -> int:
    return 1_000 + 50 * attempt**2
