"""Receivers of webhooks, Tinybird and Resend, as strict about requests as the originals."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import cast
from urllib.parse import parse_qs

import msgspec

from tests.embeddings.stub_server import Received, Reply, json_reply

TINYBIRD_KEY = "p.tinybird-Stub-Secret-0123456789"
RESEND_KEY = "re_Stub_Secret_0123456789"


class Delivered(msgspec.Struct, frozen=True):
    """One request that a receiver got."""

    webhook_id: str
    event_id: str
    attempt: int
    signature: str
    body: bytes

    def json(self) -> dict[str, object]:
        return json.loads(self.body)


class Receivers:
    """Serves ``…/<webhook id>``; refuses what is not signed with that webhook's secret."""

    def __init__(self) -> None:
        #: Those that are not ``whsec_<webhook id>``.
        self.secrets: dict[str, str] = {}
        self.delivered: list[Delivered] = []
        #: What each webhook answers; 200 unless told otherwise.
        self.answers: dict[str, Callable[[Delivered], Reply]] = {}

    def __call__(self, request: Received) -> Reply:
        webhook_id = request.path.rpartition("/")[2]
        headers = request.headers
        assert request.method == "POST"
        assert headers["content-type"] == "application/json"
        assert headers["user-agent"] == "Agentset-Webhook/1.0"
        secret = self.secrets.get(webhook_id, f"whsec_{webhook_id}")
        expected = hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(headers["agentset-signature"], expected):
            return Reply(401)
        body = json.loads(request.body)
        item = Delivered(
            webhook_id, body["id"], int(headers["x-retry-count"]), headers["agentset-signature"], request.body
        )
        self.delivered.append(item)
        return self.answers.get(webhook_id, lambda _: Reply(200, b"thanks"))(item)

    def identities(self) -> set[tuple[str, str]]:
        return {(item.event_id, item.webhook_id) for item in self.delivered}

    def of(self, webhook_id: str) -> list[Delivered]:
        return [item for item in self.delivered if item.webhook_id == webhook_id]


class TinybirdStub:
    """Serves ``POST /v0/events`` of the deliveries' data source; rows of another shape go to quarantine."""

    COLUMNS: Mapping[str, type] = {
        "event_id": str, "webhook_id": str, "task_id": str, "event": str, "url": str, "http_status": int,
        "request_body": str, "response_body": str,
    }  # fmt: skip

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []
        self.quarantine: list[object] = []

    def __call__(self, request: Received) -> Reply:
        if not hmac.compare_digest(request.headers.get("authorization", ""), f"Bearer {TINYBIRD_KEY}"):
            return json_reply({"error": "Invalid token"}, 403)
        if request.method != "POST" or request.path != "/v0/events":
            return json_reply({"error": "not found"}, 404)
        if parse_qs(request.query).get("name") != ["agentset_webhook_events"]:
            return json_reply({"error": "Resource not found"}, 404)
        taken = 0
        for line in request.body.splitlines():
            row: object = json.loads(line)
            if _has_shape(row, self.COLUMNS):
                self.rows.append(cast("dict[str, object]", row))
                taken += 1
            else:
                self.quarantine.append(row)
        return json_reply({"successful_rows": taken, "quarantined_rows": len(request.body.splitlines()) - taken}, 202)


class ResendStub:
    """Serves ``POST /emails``; a key that was used is the same email, and with another one a conflict."""

    def __init__(self) -> None:
        self.sent: list[dict[str, object]] = []
        self._by_key: dict[str, tuple[bytes, str]] = {}

    def __call__(self, request: Received) -> Reply:
        if not hmac.compare_digest(request.headers.get("authorization", ""), f"Bearer {RESEND_KEY}"):
            return json_reply({"name": "validation_error", "message": "API key is invalid"}, 401)
        if request.method != "POST" or request.path != "/emails":
            return json_reply({"name": "not_found", "message": "Not found"}, 404)
        email = json.loads(request.body)
        texts = {"from": str, "subject": str, "html": str, "reply_to": str, "to": list}
        if not _has_shape(email, texts) or not email["to"] or "@" not in email["to"][0]:
            return json_reply({"name": "validation_error", "message": "Invalid `to` field"}, 422)
        key = request.headers.get("idempotency-key", "")
        if not 1 <= len(key) <= 256:
            return json_reply({"name": "invalid_idempotency_key", "message": "The key must be 1-256 chars"}, 400)
        if key in self._by_key:
            body, email_id = self._by_key[key]
            if body != request.body:
                return json_reply({"name": "invalid_idempotent_request", "message": "Same key, other email"}, 409)
            return json_reply({"id": email_id})
        email_id = f"email-{len(self.sent)}"
        self._by_key[key] = (request.body, email_id)
        self.sent.append(email)
        return json_reply({"id": email_id})


def _has_shape(value: object, shape: Mapping[str, type]) -> bool:
    if not isinstance(value, dict):
        return False
    members = cast("dict[str, object]", value)
    return members.keys() == shape.keys() and all(isinstance(members[name], kind) for name, kind in shape.items())
