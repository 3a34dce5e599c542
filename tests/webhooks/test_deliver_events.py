"""The outbox becomes deliveries: one per event and receiver, with one id, whatever happens."""

from __future__ import annotations

from collections import Counter

import pytest

from orchestrator.lifecycle import JobStatus
from orchestrator.model import JobView
from orchestrator.reuse import keyed_job_id
from steps.deliver_events import STARTS_PER_S
from steps.platform import outbox
from tests.webhooks.stage import DOCUMENT, NAMESPACE, ORGANIZATION, OTHER_NAMESPACE, Hook, Play, Stage


def all_deliveries(play: Play) -> list[JobView]:
    views = [play.world.view(job_id) for job_id in play.world.objects]
    return [view for view in views if view.workflow == "send-webhook"]


def test_three_receivers_get_one_event_with_one_id_and_their_own_signatures(stage: Stage) -> None:
    """Scenario 9 of domain.md §9.4, and W-11."""

    async def body(play: Play) -> None:
        for name in ("wh_1", "wh_2", "wh_3"):
            await play.add_hook(Hook(id=name))
        event = await play.announce("document.ready", id="doc_1", source={"type": "TEXT", "text": "é"}, totalPages=10)
        job_id = await play.deliver()
        assert stage.receivers.identities() == {(event, name) for name in ("wh_1", "wh_2", "wh_3")}
        assert len({item.signature for item in stage.receivers.delivered}) == 3
        assert len({item.body for item in stage.receivers.delivered}) == 1
        assert '"source":{"type":"TEXT","text":"é"}' in stage.receivers.delivered[0].body.decode()
        assert await play.waiting() == 0
        assert play.world.view(job_id).result == {"organizationId": ORGANIZATION, "events": 1, "deliveries": 3}
        delivery = play.world.view(keyed_job_id("send-webhook", f"{event}:wh_2"))
        assert delivery.tags == ("webhook_wh_2", f"event_{event}")
        assert delivery.result == {"success": True, "status": 200, "response": "thanks"}

    stage.play(body)


def test_receivers_are_those_that_want_the_event(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_all"))
        await play.add_hook(Hook(id="wh_scoped", namespace_ids=[NAMESPACE]))
        await play.add_hook(Hook(id="wh_elsewhere", namespace_ids=[OTHER_NAMESPACE]))
        await play.add_hook(Hook(id="wh_other_events", triggers=["document.error"]))
        await play.add_hook(Hook(id="wh_disabled", disabled=True))
        # Rows that another application made wrong are no receivers, and do not hold up the others (W-15).
        await play.add_hook(Hook(id="wh_broken", triggers={"document.ready": True}))
        await play.add_hook(Hook(id="wh_mixed", triggers=[None, 5, "document.ready"]))
        await play.add_hook(Hook(id=""))
        await play.announce("document.ready")
        await play.deliver()
        assert {item.webhook_id for item in stage.receivers.delivered} == {"wh_all", "wh_scoped", "wh_mixed"}
        assert await play.waiting() == 0

    stage.play(body)


@pytest.mark.parametrize("change", ["none", "switched off", "disabled", "gone"])
def test_without_receivers_nothing_is_queued_and_nothing_stays(stage: Stage, change: str) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1", triggers=[] if change == "none" else ["document.ready"]))
        if change == "switched off":
            await play.admin.execute('update organization set "webhookEnabled" = false')
        elif change == "disabled":
            await play.admin.execute("""update "Webhook" set "disabledAt" = now() at time zone 'utc'""")
        elif change == "gone":
            await play.admin.execute("delete from organization")
        await play.announce("document.ready")
        await play.deliver()
        assert (all_deliveries(play), await play.waiting()) == ([], 0)

    stage.play(body)


def test_events_of_other_organizations_stay(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1"))
        await play.announce("document.ready")
        await play.admin.execute("update wf.event_outbox set organization_id = 'another'")
        await play.announce("document.queued")
        await play.deliver()
        assert [item.json()["event"] for item in stage.receivers.delivered] == ["document.queued"]
        assert await play.waiting() == 1

    stage.play(body)


def test_many_events_take_few_rows_and_two_dispatchers_do_no_harm(stage: Stage) -> None:
    count = 120

    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1"))
        await play.add_hook(Hook(id="wh_2", triggers=["document.error"]))
        events = [await play.announce("document.ready", run_id=f"run_{number}") for number in range(count)]
        jobs = [play.world.start("deliver-events", {"organizationId": ORGANIZATION}) for _ in range(2)]
        await play.world.run()
        assert stage.receivers.identities() == {(event, "wh_1") for event in events}
        assert len(stage.receivers.delivered) == count
        views = [play.world.view(job_id) for job_id in jobs]
        assert [view.status for view in views] == [JobStatus.COMPLETED] * 2
        assert max(view.rows_written for view in views) < 40
        assert await play.waiting() == 0
        # A receiver is not run over: fifty in a second, whoever hands them over.
        starts = [view.started_at_ms or 0 for view in all_deliveries(play)]
        assert max(Counter(start // 1_000 for start in starts).values()) <= 2 * STARTS_PER_S
        assert max(starts) - min(starts) > 1_900

    stage.play(body)


def test_an_event_that_is_announced_again_is_not_delivered_again(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1"))
        first = await play.announce("document.ready")
        await play.deliver()
        # As when a dispatcher died after recording the deliveries, and the setting of texts has changed meanwhile.
        assert await play.announce("document.ready", id=DOCUMENT) == first
        await play.deliver()
        assert len(stage.receivers.delivered) == 1
        assert await play.waiting() == 0

    stage.play(body)


@pytest.mark.parametrize(
    ("chars", "expected"),
    [("5", {"type": "TEXT", "text": "Helló", "textTruncated": True}), ("12", {"type": "TEXT", "text": "Helló, world"})],
)
def test_long_texts_are_cut(stage: Stage, chars: str, expected: dict[str, object]) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1"))
        await play.announce("document.ready", source={"type": "TEXT", "text": "Helló, world"})
        await play.announce("document.queued", source={"type": "FILE", "fileUrl": "https://example.com/a"})
        await play.deliver()
        sources = {str(item.json()["event"]): item.json()["data"]["source"] for item in stage.receivers.delivered}  # type: ignore[index]
        assert sources == {
            "document.ready": expected,
            "document.queued": {"type": "FILE", "fileUrl": "https://example.com/a"},
        }

    stage.play(body, settings={"WEBHOOK_TEXT_CHARS": chars})


def test_large_events_are_loaded_a_few_at_a_time(stage: Stage) -> None:
    def event(number: int, size_bytes: int) -> outbox.Pending:
        return outbox.Pending(str(number), "document.ready", NAMESPACE, size_bytes)

    assert outbox.groups([event(n, 100_000) for n in range(7)]) == [["0", "1", "2", "3", "4"], ["5", "6"]]
    assert outbox.groups([event(0, 1), event(1, 9_000_000), event(2, 1)]) == [["0"], ["1"], ["2"]]
    assert outbox.groups([]) == []

    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1"))
        for number in range(4):
            await play.announce("document.ready", run_id=f"run_{number}")
        await play.admin.execute(
            """update wf.event_outbox set payload = jsonb_set(payload, '{data,source}', jsonb_build_object(
                'type', 'TEXT',
                'text', (select string_agg(md5(random()::text), '') from generate_series(1, 10000))))"""
        )
        sizes = [event.size_bytes for event in await outbox.pending(play.admin, ORGANIZATION, 10)]
        assert len(sizes) == 4
        assert min(sizes) > outbox.GROUP_BYTES / 4
        await play.deliver()
        assert len(stage.receivers.identities()) == 4
        assert min(len(item.body) for item in stage.receivers.delivered) > 100_000

    stage.play(body)
