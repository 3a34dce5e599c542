"""``meter-org-documents-job``: what it returns, what Stripe counts, and that it counts it once."""

from __future__ import annotations

import pytest

from orchestrator.model import RetryJob
from tests.billing.stage import ORGANIZATION, PERIOD, Play, Stage
from tests.billing.stub import DAY_MS
from tests.embeddings.stub_server import Received, Reply

NOT_BILLED = {
    "organizationId": ORGANIZATION,
    "metered": False,
    "reason": "Not a pro plan or no Stripe customer ID",
}


def counted(stage: Stage) -> list[str]:
    return [identifier for identifier, _, _ in stage.stripe.counted]


def test_every_document_is_reported_in_pages_of_a_hundred(stage: Stage) -> None:
    async def body(play: Play) -> None:
        first = await play.add_documents("nsa", [1.5] * 230)
        second = await play.add_documents("nsc", [0.125, 12.345, 2.0])
        assert await play.meter() == {
            "organizationId": ORGANIZATION,
            "metered": True,
            "stripeCustomerId": "cus_1",
            "documentsProcessed": 233,
            "pagesProcessed": 230 * 1.5 + 0.125 + 12.345 + 2.0,
        }
        # Namespace by namespace, the newest first.
        assert counted(stage) == [f"doc_{document}:{PERIOD}" for document in [*first, *second]]
        values = {identifier.split(":")[0]: value for identifier, _, value in stage.stripe.counted}
        assert {values[f"doc_{document}"] for document in first} == {"1.50"}
        assert [values[f"doc_{document}"] for document in second] == ["2.00", "12.35", "0.13"]
        assert {customer for _, customer, _ in stage.stripe.counted} == {"cus_1"}
        assert stage.stripe.calls.count("/v2/billing/meter_event_session") == 1
        assert stage.stripe.calls.count("/v2/billing/meter_event_stream") == 4
        assert stage.stripe.thrown_away == []

    stage.play(body)


@pytest.mark.parametrize(("plan", "stripe_id"), [("free", "cus_1"), ("FREE", "cus_1"), ("pro", None)])
def test_who_does_not_pay_is_not_metered(stage: Stage, plan: str, stripe_id: str | None) -> None:
    async def body(play: Play) -> None:
        await play.add_documents("nsa", [1.5])
        assert await play.meter() == NOT_BILLED
        assert stage.stripe.calls == []

    stage.play(body, plan=plan, stripe_id=stripe_id)


def test_nothing_to_meter(stage: Stage) -> None:
    async def body(play: Play) -> None:
        expected = {
            "organizationId": ORGANIZATION,
            "metered": False,
            "reason": "No documents to meter",
            "documentsProcessed": 0,
        }
        await play.add_documents("nsa", [0.0])
        await play.add_documents("nsb", [5.0], status="FAILED")
        await play.add_documents("nsc", [5.0], status="DELETING")
        assert await play.meter() == expected
        await play.admin.execute("delete from namespace")
        assert await play.meter() == expected
        assert stage.stripe.calls == []

    stage.play(body)


def test_an_organization_that_is_gone(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.admin.execute("delete from organization")
        assert await play.meter() == ("organization_not_found", "Organization not found")

    stage.play(body)


def test_without_stripe_nothing_is_begun(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.add_documents("nsa", [1.5])
        assert await play.meter() == ("stripe_not_configured", "Stripe is not configured: set STRIPE_API_KEY")
        assert await play.ledger() == {}

    stage.play(body, settings={"STRIPE_API_KEY": ""})


def test_a_document_is_reported_once_per_period_however_often_the_job_runs(stage: Stage) -> None:
    async def body(play: Play) -> None:
        [document] = await play.add_documents("nsa", [3.0])
        first = await play.meter()
        play.world.clock.time_ms += 2 * DAY_MS  # longer than Stripe remembers identifiers
        assert await play.meter() == first
        assert counted(stage) == [f"doc_{document}:{PERIOD}"]
        play.world.clock.time_ms += 30 * DAY_MS
        assert await play.meter() == first
        assert counted(stage) == [f"doc_{document}:{PERIOD}", f"doc_{document}:2023-12-10"]

    stage.play(body)


@pytest.mark.parametrize(("decimals", "values"), [("2", ["0.50", "0.49", "0.01"]), ("0", ["1"])])
def test_values_are_rounded_by_one_rule_and_nothing_is_no_event(stage: Stage, decimals: str, values: list[str]) -> None:
    """W-23."""

    async def body(play: Play) -> None:
        await play.add_documents("nsa", [0.004, 0.005, 0.49, 0.5])
        result = await play.meter()
        assert isinstance(result, dict)
        assert result["documentsProcessed"] == 4
        assert [value for _, _, value in stage.stripe.counted] == values

    stage.play(body, settings={"METER_DECIMALS": decimals})


def test_the_session_is_renewed_before_it_ends(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.add_documents("nsa", [1.0] * 550)

        def slowly(request: Received) -> Reply:
            play.world.clock.time_ms += 145_000
            return stage.stripe(request)

        stage.answer = slowly
        await play.meter()
        assert len(counted(stage)) == len(set(counted(stage))) == 550
        assert len(stage.stripe.sessions) == 2
        assert stage.stripe.thrown_away == []

    stage.play(body)


def test_a_session_that_stripe_has_ended_is_opened_again(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.add_documents("nsa", [1.0] * 150)
        job_id = play.world.start("meter-org-documents-job", {"organizationId": ORGANIZATION})
        while not counted(stage):
            assert await play.world.step()
        stage.stripe.sessions.clear()
        await play.world.run()
        assert play.world.view(job_id).error is None
        assert len(set(counted(stage))) == len(counted(stage)) == 150

    stage.play(body)


@pytest.mark.parametrize("reply", [Reply(500), Reply(429, headers={"retry-after": "7"}), Reply(200, b"{", cut_at=1)])
def test_trouble_of_stripe_is_waited_for(stage: Stage, reply: Reply) -> None:
    async def body(play: Play) -> None:
        await play.add_documents("nsa", [1.0] * 3)
        stage.server.faults.extend([reply] * 4)
        result = await play.meter()
        assert isinstance(result, dict)
        assert result["metered"] is True
        assert len(counted(stage)) == 3

    stage.play(body)


def test_a_report_that_stripe_took_without_saying_so_is_the_same_the_second_time(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.add_documents("nsa", [1.0, 2.0])
        sent: list[bytes] = []

        def silent(request: Received) -> Reply:
            reply = stage.stripe(request)
            if request.path.endswith("stream"):
                sent.append(request.body)
            return Reply(504) if 0 < len(sent) < 3 else reply

        stage.answer = silent
        await play.meter()
        assert len(sent) == 3
        assert len(set(sent)) == 1
        assert len(counted(stage)) == 2
        assert [reason for _, reason in stage.stripe.thrown_away] == ["duplicate"] * 4

    stage.play(body)


def test_a_report_begun_too_long_ago_is_not_repeated(stage: Stage) -> None:
    """Stripe takes an identifier again after a day: whether it has this one nobody can know any more."""

    async def body(play: Play) -> None:
        documents = await play.add_documents("nsa", [1.0, 2.0])
        stage.server.faults.extend([Reply(400, b'{"error": {"message": "No such meter"}}')])
        assert await play.meter() == ("stripe_refused", "No such meter")
        job_id = next(iter(play.world.objects))
        assert len(await play.ledger()) == 2
        stage.server.faults.extend([Reply(400)])
        play.world.clock.time_ms += 22 * 3_600_000
        play.world.call(job_id, lambda engine: engine.retry(RetryJob()))
        await play.world.run()
        assert counted(stage) == []
        play.world.clock.time_ms += 3_600_001
        play.world.call(job_id, lambda engine: engine.retry(RetryJob()))
        await play.world.run()
        view = play.world.view(job_id)
        assert view.metadata == {"unsure": 2}
        assert view.result == {
            "organizationId": ORGANIZATION,
            "metered": True,
            "stripeCustomerId": "cus_1",
            "documentsProcessed": 2,
            "pagesProcessed": 3.0,
        }
        assert counted(stage) == []
        assert set(await play.ledger()) == {f"meter:{document}:{PERIOD}" for document in documents}

    stage.play(body)


def test_no_journal_holds_a_key_or_a_token(stage: Stage) -> None:
    """W-31."""

    async def body(play: Play) -> None:
        await play.add_documents("nsa", [1.0] * 150)
        stage.server.faults.append(Reply(500))
        await play.meter()
        assert len(counted(stage)) == 150
        for item in play.world.objects.values():
            for (name,) in item.sql.execute("select name from sqlite_master where type = 'table'"):
                text = repr(item.sql.execute(f"select * from {name}"))  # type: ignore[arg-type]
                assert "sk_test" not in text
                assert "token_" not in text

    stage.play(body)
