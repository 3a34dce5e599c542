"""Reporting documents one by one: after they were processed, and later when Stripe was away."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import LiteralString

import pytest

from local.http import HttpxHttp
from orchestrator import JobContext, workflow
from orchestrator.errors import NonRetryableError, RetryableError
from orchestrator.lifecycle import JobStatus
from orchestrator.model import JobView
from orchestrator.workflow import Registry
from steps.billing.settings import StripeSettings
from steps.billing.stripe import MeterEvent, StripeMeter, iso_time
from steps.meter_document import MeterDocumentPayload, meter_document
from steps.platform.metering import period_start
from tests.billing.stage import ORGANIZATION, PERIOD, Play, Stage
from tests.billing.stub import API_KEY, DAY_MS
from tests.embeddings.stub_server import Received, Reply

NOVEMBER_MS = 1_700_000_000_000  # 2023-11-14T22:13:20Z
PAYLOAD: Mapping[str, object] = {"documentId": "cdoc", "namespaceId": "nsa", "pages": 2.5, "atMs": NOVEMBER_MS}


@workflow("processing")
async def processing(job: JobContext, payload: MeterDocumentPayload) -> bool | None:
    """The end of ``trigger-document-job``."""
    return await meter_document(job, payload.document_id, payload.namespace_id, payload.pages)


async def process(play: Play, pages: float = 2.5) -> JobView:
    """Process a document; return its job as it is then, whatever goes on afterwards."""
    play.world.registry = Registry([*play.world.registry, processing])
    job_id = play.world.start("processing", {**PAYLOAD, "pages": pages})
    while play.world.view(job_id).finished_at_ms is None:
        assert await play.world.step()
    return play.world.view(job_id)


def test_a_document_is_reported_when_it_was_processed(stage: Stage) -> None:
    async def body(play: Play) -> None:
        view = await process(play)
        assert view.result is True
        assert stage.stripe.counted == [(f"doc_cdoc:{PERIOD}", "cus_1", "2.50")]
        assert stage.stripe.calls == ["/v1/billing/meter_events"]
        # What was reported one by one is not reported again with the others of its organization.
        await play.add_documents("nsa", [2.5, 7.0])
        await play.admin.execute("update document set id = 'cdoc' where \"totalPages\" = 2.5")
        await play.meter()
        assert [value for _, _, value in stage.stripe.counted] == ["2.50", "7.00"]

    stage.play(body)


def test_what_was_reported_with_the_others_is_not_reported_one_by_one(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.add_documents("nsa", [2.5])
        await play.admin.execute("update document set id = 'cdoc'")
        await play.meter()
        assert (await process(play)).result is True
        assert len(stage.stripe.counted) == 1

    stage.play(body)


@pytest.mark.parametrize(
    ("change", "settings"),
    [
        ("update organization set plan = 'free'", {}),
        ('update organization set "stripeId" = null', {}),
        ("delete from organization", {}),
        ("select 1", {"STRIPE_API_KEY": ""}),
    ],
)
def test_what_is_not_billed_is_not_attempted(stage: Stage, change: LiteralString, settings: Mapping[str, str]) -> None:
    async def body(play: Play) -> None:
        await play.admin.execute(change)
        assert (await process(play)).result is None
        await play.world.run()
        assert (stage.stripe.calls, len(play.world.objects)) == ([], 1)

    stage.play(body, settings=settings)


def test_nothing_is_no_event(stage: Stage) -> None:
    async def body(play: Play) -> None:
        assert (await process(play, 0.004)).result is True
        assert stage.stripe.calls == []

    stage.play(body)


@pytest.mark.parametrize("always_replay", [False, True])
def test_an_outage_of_stripe_holds_up_no_document_and_loses_no_report(stage: Stage, always_replay: bool) -> None:
    async def body(play: Play) -> None:
        away_until_ms = NOVEMBER_MS + 12 * 3_600_000

        def away(request: Received) -> Reply:
            return Reply(503) if play.world.clock.now_ms() < away_until_ms else stage.stripe(request)

        stage.answer = away
        view = await process(play)
        assert view.result is False
        assert view.finished_at_ms is not None
        assert view.finished_at_ms - view.created_at_ms < 10_000
        await play.world.run()
        assert stage.stripe.counted == [(f"doc_cdoc:{PERIOD}", "cus_1", "2.50")]
        later = [play.world.view(job_id) for job_id in play.world.objects if job_id != view.id]
        assert [(job.workflow, job.result) for job in later] == [
            ("meter-document-job", {"documentId": "cdoc", "metered": True})
        ]

    stage.play(body, always_replay=always_replay)


def test_a_report_that_stripe_has_already_is_no_failure(stage: Stage) -> None:
    async def body(play: Play) -> None:
        calls = 0

        def silent(request: Received) -> Reply:
            nonlocal calls
            calls += 1
            reply = stage.stripe(request)
            return Reply(500) if calls == 1 else reply

        stage.answer = silent
        assert (await process(play)).result is True
        assert calls == 2
        assert len(stage.stripe.counted) == 1

    stage.play(body)


def test_a_report_that_nobody_can_be_sure_of_is_given_up_visibly(stage: Stage) -> None:
    async def body(play: Play) -> None:
        stage.answer = lambda _: Reply(503)
        job_id = play.world.start("meter-document-job", PAYLOAD)
        await play.world.run()
        view = play.world.view(job_id)
        assert (view.status, view.error is not None and view.error.code) == (JobStatus.FAILED, "stripe_unavailable")
        assert view.finished_at_ms is not None
        # It ends before Stripe forgets the identifier, and a new one after that does nothing.
        assert 10 * 3_600_000 < view.finished_at_ms - view.created_at_ms < 23 * 3_600_000
        stage.answer = stage.stripe
        play.world.clock.time_ms = NOVEMBER_MS + DAY_MS
        again = play.world.start("meter-document-job", PAYLOAD)
        await play.world.run()
        error = play.world.view(again).error
        assert error is not None
        assert error.code == "meter_unsure"
        assert stage.stripe.counted == []

    stage.play(body)


@pytest.mark.parametrize(
    ("day", "at", "expected"),
    [
        (15, "2024-03-15T00:00:00", "2024-03-15"),
        (15, "2024-03-14T23:59:59", "2024-02-15"),
        (31, "2023-02-28T00:00:00", "2023-02-28"),
        (31, "2024-02-28T00:00:00", "2024-01-31"),
        (31, "2024-02-29T12:00:00", "2024-02-29"),
        (31, "2024-04-30T00:00:00", "2024-04-30"),
        (31, "2024-05-01T00:00:00", "2024-04-30"),
        (30, "2024-01-29T00:00:00", "2023-12-30"),
        (1, "2024-01-01T00:00:00", "2024-01-01"),
    ],
)
def test_periods(day: int, at: str, expected: str) -> None:
    at_ms = round(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() * 1000)
    assert period_start(day, at_ms).isoformat() == expected


def test_the_periods_of_an_organization_without_a_cycle_begin_on_the_day_it_was_made(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.admin.execute(
            """update organization set "billingCycleStart" = null, "createdAt" = timestamp '2020-01-14'"""
        )
        await process(play)
        assert stage.stripe.counted == [("doc_cdoc:2023-11-14", "cus_1", "2.50")]

    stage.play(body)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(Reply(500), RetryableError), (Reply(429), RetryableError), (Reply(402), NonRetryableError)],
)
def test_errors_are_told_apart_and_hold_no_key(stage: Stage, reply: Reply, kind: type[Exception]) -> None:
    settings = StripeSettings(api_key=API_KEY, api_url=stage.server.url, events_url=stage.server.url)
    stage.server.faults.extend([reply] * 3)

    async def calls() -> None:
        async with HttpxHttp() as http:
            meter = StripeMeter(http, settings)
            event = MeterEvent("doc_1:p", 1_700_000_000, "1.00")
            for call in (
                lambda: meter.report("cus_1", event),
                meter.open_session,
                lambda: meter.report_many("token", "cus_1", [event]),
            ):
                with pytest.raises(kind) as caught:
                    await call()
                assert API_KEY not in str(caught.value)
            with pytest.raises(ValueError, match="100"):
                await meter.report_many("token", "cus_1", [event] * 101)

    asyncio.run(calls())
    assert API_KEY not in repr(settings)
    assert iso_time(1_700_000_000) == "2023-11-14T22:13:20.000Z"


def test_the_organization_is_named_by_its_namespace_alone(stage: Stage) -> None:
    """Plan and customer are read when they are needed; no payload carries them (W-31)."""

    async def body(play: Play) -> None:
        assert set(MeterDocumentPayload.model_fields) == {"document_id", "namespace_id", "pages", "at_ms"}
        await play.admin.execute("""update organization set "stripeId" = 'cus_2' where id = $1""", ORGANIZATION)
        await process(play)
        assert stage.stripe.counted[0][1] == "cus_2"

    stage.play(body)
