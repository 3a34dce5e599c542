"""Stripe's meter: one event, or a stream of up to a hundred per call (domain.md §2.12). One call each, no retries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode

import msgspec

from orchestrator.errors import NonRetryableError
from orchestrator.ports import Http
from steps.billing.settings import StripeSettings
from steps.json_api import JsonApi

VERSION = "2025-02-24.acacia"
EVENT_NAME = "ingested_pages"
MAX_EVENTS = 100
#: The SDK's own.
_TIMEOUT_MS = 80_000
#: A session's token is valid for 15 minutes; a call may last over one.
SESSION_MS = 600_000
_AREA, _NAME = "stripe", "Stripe"
_DUPLICATE = "already exists with identifier"


class MeterEvent(msgspec.Struct, frozen=True):
    """Pages of one document. Stripe takes an identifier once within 24 hours."""

    identifier: str
    at_s: int
    value: str


class _Session(msgspec.Struct, frozen=True):
    authentication_token: str


class _Taken(msgspec.Struct, frozen=True):
    pass


class StripeMeter:
    """Reports what customers used.

    Args:
        http: the way out.
        settings: where Stripe is.

    Raises:
        NonRetryableError: Stripe is not configured (code ``stripe_not_configured``).
    """

    def __init__(self, http: Http, settings: StripeSettings) -> None:
        if settings.api_key is None:
            raise NonRetryableError("Stripe is not configured: set STRIPE_API_KEY", code="stripe_not_configured")
        self._http = http
        self._settings = settings
        self._key = settings.api_key

    async def report(self, customer_id: str, event: MeterEvent) -> None:
        """Report one event. One that Stripe has already is no error.

        Raises:
            RetryableError: it was not taken now.
            NonRetryableError: it never will be.
        """
        fields = {
            "identifier": event.identifier,
            "event_name": EVENT_NAME,
            "timestamp": str(event.at_s),
            "payload[stripe_customer_id]": customer_id,
            "payload[value]": event.value,
        }
        api = self._api(self._settings.api_url, self._key)
        try:
            await api.post_form("/v1/billing/meter_events", urlencode(fields), _Taken)
        except NonRetryableError as error:
            if _DUPLICATE not in str(error):
                raise

    async def open_session(self) -> str:
        """Return the token of a new session of the stream; it is valid for 15 minutes."""
        api = self._api(self._settings.api_url, self._key)
        session = await api.post("/v2/billing/meter_event_session", {}, _Session)
        return session.authentication_token

    async def report_many(self, token: str, customer_id: str, events: Sequence[MeterEvent]) -> None:
        """Report up to a hundred events. Stripe looks at them later: what it then refuses, it tells nobody here.

        Raises:
            RetryableError: they were not taken now.
            NonRetryableError: they never will be; ``details["status"]`` is 401 when the session is over.
        """
        if len(events) > MAX_EVENTS:
            raise ValueError(f"a call takes {MAX_EVENTS} events at most")
        body = {
            "events": [
                {
                    "identifier": event.identifier,
                    "event_name": EVENT_NAME,
                    "timestamp": iso_time(event.at_s),
                    "payload": {"stripe_customer_id": customer_id, "value": event.value},
                }
                for event in events
            ]
        }
        await self._api(self._settings.events_url, token).post("/v2/billing/meter_event_stream", body, _Taken)

    def _api(self, base_url: str, bearer: str) -> JsonApi:
        headers = {"authorization": f"Bearer {bearer}", "stripe-version": VERSION}
        return JsonApi(
            self._http,
            name=_NAME,
            area=_AREA,
            base_url=base_url,
            headers=headers,
            secret=bearer,
            timeout_ms=_TIMEOUT_MS,
        )


def iso_time(at_s: int) -> str:
    """Return a time as JavaScript writes it."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
