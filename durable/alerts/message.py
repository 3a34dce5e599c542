"""What a notice looks like on its way: JSON, signed as the Standard Webhooks specification has it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

import msgspec

from durable.alerts.model import Alert, Notice
from durable.http.answers import timestamp

_WHAT: Final = {
    "queue_depth": "jobs wait in {subject}",
    "error_rate": "of the jobs that ended lately have failed",
    "stuck_jobs": "jobs are stuck",
    "dead_letters": "dead letters wait for somebody",
}
_SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets of this form begin with


def body_of(notice: Notice) -> bytes:
    """Return the body of a notice: the same bytes every time."""
    alert = notice.alert
    data = {
        "alert": alert.rule,
        "subject": alert.subject,
        "status": "resolved" if notice.kind == "resolved" else "firing",
        "value": alert.value,
        "threshold": alert.threshold,
        "since": timestamp(alert.since_ms),
        "detail": alert.detail,
        "runbook": f"docs/runbooks.md#{alert.rule.replace('_', '-')}",
    }
    message = {
        "type": f"alert.{notice.kind}",
        "timestamp": timestamp(notice.at_ms),
        "text": sentence(notice),
        "data": data,
    }
    return msgspec.json.encode(message)


def sentence(notice: Notice) -> str:
    """Return a notice in one line for people."""
    alert = notice.alert
    what = _WHAT[alert.rule].format(subject=alert.subject)
    words = {"firing": "Alert", "reminder": "Still", "resolved": "Over"}[notice.kind]
    return f"{words}: {_number(alert, alert.value)} {what} (threshold {_number(alert, alert.threshold)})"


def headers_of(notice: Notice, body: bytes, secret: str, now_ms: int) -> dict[str, str]:
    """Return the headers of a delivery; its time is signed, so that an old one cannot be played again."""
    sent_s = str(now_ms // 1000)
    signed = b".".join([notice.id.encode(), sent_s.encode(), body])
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "user-agent": "durable-orchestrator-alerts",
        "webhook-id": notice.id,
        "webhook-timestamp": sent_s,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _key(secret: str) -> bytes:
    if secret.startswith(_SECRET_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


def _number(alert: Alert, value: float) -> str:
    return f"{value:.1%}" if alert.rule == "error_rate" else f"{value:g}"
