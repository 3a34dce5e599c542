"""``/v1/alerts``: what is wrong, and whether people were told."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from durable.alerts.message import sentence
from durable.alerts.model import Alert, AlertsView, Delivery, Rule, Status
from durable.http.access import Scope, needs
from durable.http.answers import Timestamp, timestamp, timestamp_or_none
from durable.http.host import host_of
from durable.http.shapes import answer
from durable.http.strict import StrictRoute

router = APIRouter(prefix="/v1/alerts", tags=["operations"], route_class=StrictRoute)


class AlertOut(BaseModel):
    """One alert: a rule, and what it is about."""

    alert: Rule
    subject: str = Field(description="A queue, `lane NAME`, or `all`", examples=["agentset-ingest-queue"])
    status: Status = Field(description="`pending` is above its threshold, but not for long enough to tell anybody")
    value: float
    threshold: float
    detail: dict[str, float] = Field(examples=[{"trigger-ingestion-job": 12}])
    since: Timestamp
    fired_at: Timestamp | None
    told_at: Timestamp | None = Field(description="When people were last told that it fires")
    resolved_at: Timestamp | None


class UndeliveredOut(BaseModel):
    """A notice that has not arrived."""

    id: str = Field(description="The delivery's webhook-id", examples=["dead_letters/all/1764190800000/1"])
    text: str = Field(examples=["Alert: 3 dead letters wait for somebody (threshold 0)"])
    at: Timestamp
    attempts: int
    error: str | None = Field(description="Why the last try failed", examples=["http_500"])
    next_at: Timestamp | None
    given_up_at: Timestamp | None


class AlertsOut(BaseModel):
    """The alerts, and what people have not been told."""

    evaluated_at: Timestamp | None = Field(description="Old when the platform's tick does not come")
    missing: list[str] = Field(
        description="What did not answer then; alerts about it may be missing", examples=[["catalog-4-0"]]
    )
    alerts: list[AlertOut]
    undelivered: list[UndeliveredOut]
    silent_because: str | None = Field(
        description="Why nobody is told at all", examples=["ALERT_WEBHOOK_URL is not set"]
    )


@router.get("", responses={200: {"model": AlertsOut}})
@needs(Scope.READ, shared=True)
async def get_alerts(request: Request) -> Response:
    """Alerts that fire, are about to, or are over since a week at most; and notices that have not arrived."""
    return answer(_out(await host_of(request).backend.alerts()))


def _out(view: AlertsView) -> AlertsOut:
    return AlertsOut(
        evaluated_at=timestamp_or_none(view.evaluated_at_ms),
        missing=view.missing,
        alerts=[_alert(alert) for alert in view.alerts],
        undelivered=[_undelivered(delivery) for delivery in view.undelivered],
        silent_because=view.silent_because,
    )


def _alert(alert: Alert) -> AlertOut:
    return AlertOut(
        alert=alert.rule,
        subject=alert.subject,
        status=alert.status,
        value=alert.value,
        threshold=alert.threshold,
        detail=alert.detail,
        since=timestamp(alert.since_ms),
        fired_at=timestamp_or_none(alert.fired_at_ms),
        told_at=timestamp_or_none(alert.told_at_ms),
        resolved_at=timestamp_or_none(alert.resolved_at_ms),
    )


def _undelivered(delivery: Delivery) -> UndeliveredOut:
    return UndeliveredOut(
        id=delivery.notice.id,
        text=sentence(delivery.notice),
        at=timestamp(delivery.notice.at_ms),
        attempts=delivery.attempts,
        error=delivery.error,
        next_at=timestamp_or_none(delivery.due_at_ms),
        given_up_at=timestamp_or_none(delivery.dropped_at_ms),
    )
