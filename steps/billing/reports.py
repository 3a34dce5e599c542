"""Telling Stripe once: the ledger says what may be told, and remembers what was."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from orchestrator.errors import NonRetryableError
from orchestrator.ports import Connection
from steps.billing.stripe import MAX_EVENTS, SESSION_MS, MeterEvent, StripeMeter
from steps.platform import metering
from steps.platform.javascript import to_fixed
from steps.platform.metering import Claim, Customer, Held
from steps.services import services

_UNAUTHORIZED = 401


class Reported(msgspec.Struct, frozen=True):
    """What became of the reports of some documents."""

    #: Stripe has them, now or from before.
    known: int = 0
    #: Begun so long ago that repeating them could count them twice.
    unsure: int = 0


class Stream:
    """Reports many documents. Its session is kept in memory alone: a token is a secret (W-31)."""

    def __init__(self) -> None:
        self._token: str | None = None
        self._opened_ms = 0

    async def report(self, customer: Customer, documents: Sequence[Held], now_ms: int) -> Reported:
        """Report documents that were not reported for the customer's period.

        Args:
            customer: who is billed; has a Stripe customer.
            documents: what it holds.
            now_ms: the time.
        """
        current = services()
        values = billed_values({item.id: item.pages for item in documents}, current.settings.stripe.decimals)
        database = current.database()
        claims = await metering.claim(database, customer.period, values, now_ms)
        events = [event_of(item, customer.period, claims[item]) for item in to_send(claims, now_ms)]
        meter = StripeMeter(current.http, current.settings.stripe)
        for start in range(0, len(events), MAX_EVENTS):
            await self._send(meter, str(customer.stripe_id), events[start : start + MAX_EVENTS], now_ms)
        if events:
            await metering.mark_reported(database, customer.period, to_send(claims, now_ms))
        return tally(claims, now_ms)

    async def _send(self, meter: StripeMeter, stripe_id: str, events: Sequence[MeterEvent], now_ms: int) -> None:
        if self._token is None or now_ms - self._opened_ms >= SESSION_MS:
            await self._open(meter, now_ms)
        try:
            await meter.report_many(str(self._token), stripe_id, events)
        except NonRetryableError as error:
            if error.details.get("status") != _UNAUTHORIZED:
                raise
            await self._open(meter, now_ms)
            await meter.report_many(str(self._token), stripe_id, events)

    async def _open(self, meter: StripeMeter, now_ms: int) -> None:
        self._token, self._opened_ms = await meter.open_session(), now_ms


async def report_one(
    connection: Connection, customer: Customer, document_id: str, pages: float, at_ms: int, now_ms: int
) -> Reported:
    """Report one document, unless that was done for the customer's period.

    Args:
        connection: the database.
        customer: who is billed; has a Stripe customer.
        document_id: the document.
        pages: what it holds.
        at_ms: when it was processed.
        now_ms: the time.
    """
    current = services()
    values = billed_values({document_id: pages}, current.settings.stripe.decimals)
    claims = await metering.claim(connection, customer.period, values, at_ms)
    meter = StripeMeter(current.http, current.settings.stripe)
    for item in to_send(claims, now_ms):
        await meter.report(str(customer.stripe_id), event_of(item, customer.period, claims[item]))
        await metering.mark_reported(connection, customer.period, [item])
    return tally(claims, now_ms)


def billed_values(pages: dict[str, float], decimals: int) -> dict[str, str]:
    """Return what Stripe is told of each document: rounded by one rule (W-23), and nothing of what rounds to 0."""
    values = {document_id: to_fixed(count, decimals) for document_id, count in pages.items()}
    return {document_id: value for document_id, value in values.items() if float(value) > 0}


def to_send(claims: dict[str, Claim], now_ms: int) -> list[str]:
    """Return the documents that Stripe is to be told of."""
    return [document_id for document_id, claim in claims.items() if claim.may_be_sent(now_ms)]


def tally(claims: dict[str, Claim], now_ms: int) -> Reported:
    """Return what became of reports, those that may be sent counting as sent."""
    unsure = sum(not claim.done and not claim.may_be_sent(now_ms) for claim in claims.values())
    return Reported(len(claims) - unsure, unsure)


def event_of(document_id: str, period: str, claim: Claim) -> MeterEvent:
    """Return a report as Stripe gets it: the same however often it is sent."""
    return MeterEvent(metering.identifier(document_id, period), claim.at_s, claim.value)
