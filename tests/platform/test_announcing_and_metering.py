"""What a document's way through ingestion tells receivers and Stripe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import LiteralString, cast

import pytest

from orchestrator.model import JobView
from steps.billing.settings import StripeSettings
from steps.platform.ids import document_id
from steps.webhooks.settings import MAX_TEXT_CHARS
from tests.embeddings.stub_server import Reply
from tests.platform import scene
from tests.platform.stage import Outcome, Play, Stage

DOCUMENT = document_id(scene.QUEUED, 0)
PERIOD = "2023-10-15"
INGEST: Mapping[str, object] = {"jobId": scene.QUEUED}
EVERYTHING = [
    *("ingest_job.processing", "ingest_job.ready"),
    *("document.queued", "document.processing", "document.ready"),
]


def document_job(outcome: Outcome) -> JobView:
    views = [outcome.world.view(job_id) for job_id in outcome.world.objects]
    (view,) = [view for view in views if view.workflow == "trigger-document-job"]
    return view


def result(outcome: Outcome) -> dict[str, object]:
    return cast("dict[str, object]", document_job(outcome).result)


def test_events_are_told_in_the_order_in_which_things_happened(stage: Stage) -> None:
    """Scenario 1 of domain.md §9.4: what the outbox says, and what a receiver gets of it."""

    async def deliver(play: Play) -> bool:
        await play.world.run()
        play.world.start("deliver-events", {"organizationId": scene.ORGANIZATION})
        return True

    async def listen(play: Play) -> None:
        triggers = json.dumps(EVERYTHING)
        await play.admin.execute('update "Webhook" set triggers = $1::jsonb where id = $2', triggers, scene.EVERYWHERE)

    outcome = stage.run("trigger-ingestion-job", INGEST, prepare=listen, during=deliver)
    bodies = [item.json() for item in outcome.play.receivers.of(scene.EVERYWHERE)]
    bodies.sort(key=lambda body: (str(body["createdAt"]), EVERYTHING.index(str(body["event"]))))
    told = [(body["event"], cast("dict[str, object]", body["data"])["status"]) for body in bodies]
    assert sorted(told) == sorted(
        [
            ("document.queued", "QUEUED"),
            ("ingest_job.processing", "PROCESSING"),
            ("document.processing", "PROCESSING"),
            ("document.ready", "COMPLETED"),
            ("ingest_job.ready", "COMPLETED"),
        ]
    )
    assert outcome.picture.announced == []
    assert len({body["id"] for body in bodies}) == 5
    times = {str(body["event"]): str(body["createdAt"]) for body in bodies}
    order = ("document.queued", "ingest_job.processing", "document.processing", "document.ready", "ingest_job.ready")
    assert sorted(times, key=lambda event: (times[event], order.index(event))) == list(order)


def test_a_document_that_was_processed_is_billed_once(stage: Stage) -> None:
    outcome = stage.run("trigger-ingestion-job", INGEST)
    assert result(outcome)["meterSuccess"] is True
    [(identifier, customer, value)] = outcome.play.stripe.counted
    assert (identifier, customer) == (f"doc_{DOCUMENT}:{PERIOD}", f"cus_{scene.ORGANIZATION}")
    assert float(value) == pytest.approx(cast("float", result(outcome)["totalPages"]), abs=0.005)

    # The organization's own report of the period leaves it out.
    async def meter(play: Play) -> bool:
        await play.world.run()
        play.start("meter-org-documents-job", {"organizationId": scene.ORGANIZATION})
        return True

    again = stage.run("trigger-ingestion-job", INGEST, during=meter)
    counted = [identifier for identifier, _, _ in again.play.stripe.counted]
    assert len(counted) == len(set(counted)) > 1
    assert counted.count(f"doc_{DOCUMENT}:{PERIOD}") == 1


@pytest.mark.parametrize(
    "change", ["update organization set plan = 'free'", 'update organization set "stripeId" = null']
)
def test_who_does_not_pay_is_not_billed(stage: Stage, change: LiteralString) -> None:
    async def unpaid(play: Play) -> None:
        await play.admin.execute(change)

    outcome = stage.run("trigger-ingestion-job", INGEST, prepare=unpaid)
    assert result(outcome)["meterSuccess"] is None
    assert outcome.play.stripe.calls == []


def test_what_is_processed_again_is_not_billed(stage: Stage) -> None:
    payload = {"documentId": scene.TEXT_DOCUMENT, "ingestJobId": scene.BATCH, "cleanup": True}
    outcome = stage.run("trigger-document-job", payload)
    assert result(outcome)["meterSuccess"] is None
    assert outcome.play.stripe.calls == []


def test_trouble_of_stripe_does_not_fail_a_document(stage: Stage) -> None:
    async def away(play: Play) -> None:
        origin = play.settings.stripe.api_url
        play.http.routes[origin] = lambda _: Reply(503)

    async def back(play: Play) -> bool:
        ended = [play.world.view(job_id) for job_id in play.world.objects]
        if not any(view.workflow == "trigger-ingestion-job" and view.finished_at_ms for view in ended):
            return False
        play.http.routes[play.settings.stripe.api_url] = play.stripe
        return True

    outcome = stage.run("trigger-ingestion-job", INGEST, prepare=away, during=back)
    assert outcome.picture.row("document", DOCUMENT)["status"] == "COMPLETED"
    assert result(outcome)["meterSuccess"] is False
    assert [identifier for identifier, _, _ in outcome.play.stripe.counted] == [f"doc_{DOCUMENT}:{PERIOD}"]


def test_without_stripe_documents_are_processed_all_the_same(stage: Stage) -> None:
    async def unset(play: Play) -> None:
        settings = play.settings
        play.settings = type(settings)(
            embeddings=settings.embeddings,
            vectors=settings.vectors,
            platform=settings.platform,
            stripe=StripeSettings(),
        )
        play.world.services = play.services()

    outcome = stage.run("trigger-ingestion-job", INGEST, prepare=unset)
    assert result(outcome)["meterSuccess"] is None
    assert len(outcome.world.objects) == 2


def test_a_document_whose_job_is_stopped_at_any_point_is_billed_once(stage: Stage) -> None:
    """Scenario 4 of domain.md §9.4, for what leaves the platform: Stripe's events and the ids of webhooks' events."""
    payload = {"documentId": scene.WAITING_DOCUMENT, "ingestJobId": scene.PROCESSING}

    def told(outcome: Outcome) -> tuple[object, list[str], object]:
        return outcome.play.stripe.counted, sorted(outcome.picture.ids("event")), document_job(outcome).result

    undisturbed = stage.run("trigger-document-job", payload)
    expected = told(undisturbed)
    assert len(undisturbed.play.stripe.counted) == 1
    for write in range(1, undisturbed.world.writes + 1):
        outcome = stage.run("trigger-document-job", payload, crash_at=(write,))
        assert told(outcome) == expected, f"stopped before write {write}"
    for number in range(1, undisturbed.operations + 1):
        for before, after in ((number, 0), (0, number)):
            outcome = stage.run(
                "trigger-document-job", payload, crash_before_operation=before, crash_after_operation=after
            )
            assert told(outcome) == expected, f"stopped before {before} or after {after}"


def test_events_hold_no_more_of_a_text_than_webhooks_carry(stage: Stage) -> None:
    async def long(play: Play) -> None:
        text = "One sentence of many. " * 12_000
        payload = json.dumps({"type": "TEXT", "text": text})
        await play.admin.execute("update ingest_job set payload = $1::jsonb where id = $2", payload, scene.QUEUED)

    outcome = stage.run("trigger-ingestion-job", INGEST, prepare=long)
    lengths: set[int] = set()
    for row in outcome.picture.tables["event"]:
        data = cast("dict[str, dict[str, dict[str, str]]]", row)["payload"]["data"]
        if "source" in data:
            lengths.add(len(cast("dict[str, str]", data["source"])["text"]))
    assert lengths == {MAX_TEXT_CHARS + 1}
    assert outcome.picture.row("document", DOCUMENT)["totalCharacters"] != MAX_TEXT_CHARS + 1
