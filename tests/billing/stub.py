"""Stripe's meter: strict about requests at once, and about the stream's events afterwards, as the original is."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from datetime import datetime
from typing import cast
from urllib.parse import parse_qsl

from tests.embeddings.stub_server import Received, Reply, json_reply

API_KEY = "sk_test_Stub_Secret_0123456789"
VERSION = "2025-02-24.acacia"
CUSTOMERS = frozenset({"cus_1", "cus_2"})
SESSION_MS = 900_000
DAY_MS = 86_400_000
OLDEST_MS, NEWEST_MS = 35 * DAY_MS, 300_000


class StripeStub:
    """Serves single events, sessions and the stream.

    Args:
        now_ms: the stub's clock: that of the world around it.
        customers: who there is.
    """

    def __init__(self, now_ms: Callable[[], int], customers: frozenset[str] = CUSTOMERS) -> None:
        self._now_ms = now_ms
        self._customers = customers
        #: What the meter has counted: identifier, customer, value, and when it came.
        self.counted: list[tuple[str, str, str]] = []
        #: Identifiers and when they were last counted: taken again after a day.
        self._seen_ms: dict[str, int] = {}
        #: What the stream took and then threw away, with the reason.
        self.thrown_away: list[tuple[str, str]] = []
        self.sessions: dict[str, int] = {}
        self.calls: list[str] = []

    def __call__(self, request: Received) -> Reply:
        self.calls.append(request.path)
        if request.method != "POST":
            return _error("Unrecognized request URL", 404)
        if request.headers.get("stripe-version") != VERSION:
            return _error("Unsupported Stripe API version", 400)
        match request.path:
            case "/v1/billing/meter_events":
                return self._single(request)
            case "/v2/billing/meter_event_session":
                return self._session(request)
            case "/v2/billing/meter_event_stream":
                return self._stream(request)
            case _:
                return _error("Unrecognized request URL", 404)

    def _single(self, request: Received) -> Reply:
        if not _has_bearer(request, API_KEY):
            return _error("Invalid API Key provided", 401)
        if request.headers["content-type"] != "application/x-www-form-urlencoded":
            return _error("Invalid content type", 400)
        form = dict(parse_qsl(request.body.decode(), strict_parsing=True))
        expected = {"identifier", "event_name", "timestamp", "payload[stripe_customer_id]", "payload[value]"}
        if form.keys() != expected:
            return _error(f"Received unknown parameters: {sorted(form.keys() ^ expected)}", 400)
        if not form["timestamp"].isdecimal():
            return _error("Invalid timestamp", 400)
        customer, value = form["payload[stripe_customer_id]"], form["payload[value]"]
        at_ms = int(form["timestamp"]) * 1000
        reason = self._fault(form["identifier"], form["event_name"], customer, value, at_ms)
        if reason == "duplicate":
            return _error(f"An event already exists with identifier {form['identifier']}.", 400)
        if reason is not None:
            return _error(reason, 400)
        self._count(form["identifier"], customer, value)
        return json_reply({"object": "billing.meter_event", "identifier": form["identifier"]})

    def _session(self, request: Received) -> Reply:
        if not _has_bearer(request, API_KEY):
            return _error("Invalid API Key provided", 401)
        if json.loads(request.body) != {}:
            return _error("Unexpected body", 400)
        token = f"token_{len(self.sessions)}_secret"
        self.sessions[token] = self._now_ms()
        return json_reply({"object": "v2.billing.meter_event_session", "authentication_token": token})

    def _stream(self, request: Received) -> Reply:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        opened_ms = self.sessions.get(token)
        if opened_ms is None:
            return _error("Invalid session", 401)
        if self._now_ms() - opened_ms >= SESSION_MS:
            return json_reply({"error": {"code": "billing_meter_event_session_expired", "message": "expired"}}, 401)
        body = cast("dict[str, object]", json.loads(request.body))
        events = cast("list[dict[str, object]]", body.get("events"))
        if body.keys() != {"events"} or not 1 <= len(events) <= 100:
            return _error("events has 1 to 100 items", 400)
        for event in events:
            if event.keys() != {"identifier", "event_name", "timestamp", "payload"}:
                return _error("Unknown or missing fields of an event", 400)
        for event in events:
            self._look_at(event)
        return json_reply({})

    def _look_at(self, event: dict[str, object]) -> None:
        """Look at an event of the stream, after it was answered: what is wrong here is told to nobody."""
        identifier, payload = str(event["identifier"]), cast("dict[str, object]", event["payload"])
        at_ms = round(datetime.fromisoformat(str(event["timestamp"])).timestamp() * 1000)
        customer, value = payload.get("stripe_customer_id"), payload.get("value")
        if payload.keys() != {"stripe_customer_id", "value"} or not isinstance(value, str):
            self.thrown_away.append((identifier, "payload"))
            return
        reason = self._fault(identifier, str(event["event_name"]), str(customer), value, at_ms)
        if reason is None:
            self._count(identifier, str(customer), value)
        else:
            self.thrown_away.append((identifier, reason))

    def _fault(self, identifier: str, event_name: str, customer: str, value: str, at_ms: int) -> str | None:
        now_ms = self._now_ms()
        if not 1 <= len(identifier) <= 100 or event_name != "ingested_pages":
            return "No meter has this event name"
        if customer not in self._customers:
            return f"No such customer: '{customer}'"
        if not float(value) > 0:
            return "value"
        if not now_ms - OLDEST_MS <= at_ms <= now_ms + NEWEST_MS:
            return "The timestamp is outside of the window"
        if now_ms - self._seen_ms.get(identifier, -DAY_MS) < DAY_MS:
            return "duplicate"
        return None

    def _count(self, identifier: str, customer: str, value: str) -> None:
        self._seen_ms[identifier] = self._now_ms()
        self.counted.append((identifier, customer, value))


def _has_bearer(request: Received, key: str) -> bool:
    return hmac.compare_digest(request.headers.get("authorization", ""), f"Bearer {key}")


def _error(message: str, status: int) -> Reply:
    return json_reply({"error": {"type": "invalid_request_error", "message": message}}, status)
