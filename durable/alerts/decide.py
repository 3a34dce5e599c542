"""Which alerts fire: a pure function of what is known, what was measured and the time.

Called with the same observation at the same moment again it tells nobody anything, so a doubled tick changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from durable.alerts.model import Alert, Decision, Notice, Observation, Reading
from durable.alerts.settings import AlertPolicy

#: An alert that is over is shown for so long.
SHOWN_MS: Final = 7 * 86_400_000


def decide(known: Iterable[Alert], observation: Observation, policy: AlertPolicy, now_ms: int) -> Decision:
    """Return what is known after an observation, and what people are to be told.

    What did not answer may hide what is wrong; what is seen to be wrong is. So with something missing, alerts fire and
    none is over.
    """
    readings = {reading.key: reading for reading in observation.readings}
    before = {alert.key: alert for alert in known}
    unread = {
        key: Reading(rule=alert.rule, subject=alert.subject, value=0)
        for key, alert in before.items()
        if key not in readings
    }
    alerts: list[Alert] = []
    notices: list[Notice] = []
    for key, reading in sorted({**readings, **unread}.items()):
        alert = before.get(key)
        if reading.value > policy.threshold(reading.rule):
            alert, kind = _wrong(alert, reading, policy, now_ms)
        elif alert is not None and not observation.missing:
            alert, kind = _well(alert, reading, policy, now_ms)
        else:
            kind = None
        if kind is not None and alert is not None:
            notices.append(
                Notice(id=f"{key}/{alert.fired_at_ms}/{alert.notices}", kind=kind, at_ms=now_ms, alert=alert)
            )
        if alert is not None:
            alerts.append(alert)
    return Decision(alerts, notices)


def _wrong(
    alert: Alert | None, reading: Reading, policy: AlertPolicy, now_ms: int
) -> tuple[Alert, Literal["firing", "reminder"] | None]:
    """Return an alert whose value is above its threshold, and what is to be told of it."""
    if alert is None or alert.status == "resolved":
        alert = Alert(
            rule=reading.rule,
            subject=reading.subject,
            status="pending",
            value=reading.value,
            threshold=policy.threshold(reading.rule),
            since_ms=now_ms,
        )
    seen = msgspec.structs.replace(
        alert,
        value=reading.value,
        threshold=policy.threshold(reading.rule),
        detail=reading.detail,
        clear_since_ms=None,
    )
    if seen.status == "pending":
        if now_ms - seen.since_ms < policy.hold_of(reading.rule):
            return seen, None
        fired = msgspec.structs.replace(seen, status="firing", fired_at_ms=now_ms, told_at_ms=now_ms, notices=1)
        return fired, "firing"
    if now_ms - (seen.told_at_ms or 0) < policy.repeat_ms:
        return seen, None
    return msgspec.structs.replace(seen, told_at_ms=now_ms, notices=seen.notices + 1), "reminder"


def _well(
    alert: Alert, reading: Reading, policy: AlertPolicy, now_ms: int
) -> tuple[Alert | None, Literal["resolved"] | None]:
    """Return an alert whose value is within bounds, None when there is nothing left to show, and what is to be told."""
    if alert.status == "pending":
        return None, None
    if alert.status == "resolved":
        return (alert if now_ms - (alert.resolved_at_ms or 0) < SHOWN_MS else None), None
    clear_since_ms = now_ms if alert.clear_since_ms is None else alert.clear_since_ms
    seen = msgspec.structs.replace(alert, value=reading.value, detail=reading.detail, clear_since_ms=clear_since_ms)
    if now_ms - clear_since_ms < policy.clear_ms:
        return seen, None
    resolved = msgspec.structs.replace(seen, status="resolved", resolved_at_ms=now_ms, notices=seen.notices + 1)
    return resolved, "resolved"
