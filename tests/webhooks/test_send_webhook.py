"""Deliveries: what they return, when they are tried again, what their failures lead to, and what they never store."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import pytest

from orchestrator.errors import InvalidPayloadError
from orchestrator.lifecycle import JobStatus
from orchestrator.model import JobView, RetryJob
from orchestrator.reuse import keyed_job_id
from steps.send_webhook import send_webhook
from tests.embeddings.stub_server import Reply
from tests.webhooks.stage import ORGANIZATION, OWNER, Hook, Play, Stage
from tests.webhooks.stubs import Delivered

CACHE = f"webhook:org:{ORGANIZATION}"


async def deliver_one(play: Play, run_id: str = "run_1", webhook_id: str = "wh_1") -> JobView:
    """Announce an event and run it to the end of everything it leads to; return its delivery."""
    event = await play.announce("document.ready", run_id=run_id)
    await play.deliver()
    return play.world.view(keyed_job_id("send-webhook", f"{event}:{webhook_id}"))


def answering(*replies: Reply) -> Callable[[Delivered], Reply]:
    """Return an answer that gives these in turn, and the last one for ever."""
    left = list(replies)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def test_a_delivery_that_succeeds(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1"))
        view = await deliver_one(play)
        assert view.result == {"success": True, "status": 200, "response": "thanks"}
        [item] = stage.receivers.delivered
        assert item.attempt == 1
        assert stage.tinybird.rows == [
            {
                "event_id": item.event_id,
                "webhook_id": "wh_1",
                "task_id": view.id,
                "event": "document.ready",
                "url": f"{stage.receiver.url}/hooks/wh_1",
                "http_status": 200,
                "request_body": item.body.decode(),
                "response_body": "thanks",
            }
        ]
        assert stage.resend.sent == []

    stage.play(body)


@pytest.mark.parametrize("always_replay", [False, True])
@pytest.mark.parametrize("status", [300, 404, 410, 429, 500, 503])
def test_ten_attempts_in_five_days_that_cost_no_running(stage: Stage, status: int, always_replay: bool) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1"))
        stage.receivers.answers["wh_1"] = answering(Reply(status, b"no"))
        view = await deliver_one(play)
        assert [item.attempt for item in stage.receivers.delivered] == list(range(1, 11))
        assert len({item.body for item in stage.receivers.delivered}) == 1
        assert view.finished_at_ms is not None
        assert 454_620_000 <= view.finished_at_ms - view.created_at_ms < 454_620_000 + 1_000
        assert view.slices <= 12
        [row] = stage.tinybird.rows
        assert (row["http_status"], row["response_body"]) == (status, "no")
        hook = await play.hook("wh_1")
        if status < 400:
            # A final 3xx counts as success, as ever.
            assert view.result == {"success": True, "status": status, "response": "no"}
            assert hook["consecutiveFailures"] == 0
        else:
            assert (view.status, view.result) == (JobStatus.COMPLETED, None)
            assert (hook["consecutiveFailures"], hook["disabledAt"]) == (1, None)
            assert hook["lastFailedAt"] is not None

    stage.play(body, always_replay=always_replay)


def test_a_delivery_that_succeeds_later_ends_the_streak(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1", failures=7))
        await play.admin.execute("""update "Webhook" set "lastFailedAt" = now() at time zone 'utc'""")
        stage.receivers.answers["wh_1"] = answering(Reply(500), Reply(500), Reply(204, b""))
        view = await deliver_one(play)
        assert view.result == {"success": True, "status": 204, "response": ""}
        hook = await play.hook("wh_1")
        assert (hook["consecutiveFailures"], hook["lastFailedAt"]) == (0, None)

    stage.play(body)


@pytest.mark.parametrize(("policy", "attempts"), [("", 10), ("brief", 3)])
def test_a_receiver_that_does_not_answer(stage: Stage, policy: str, attempts: int) -> None:
    """W-25: by default the ladder is one for all failures."""

    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1"))
        play.http.patience_ms = 30
        stage.receivers.answers["wh_1"] = answering(Reply(hang=True))
        view = await deliver_one(play)
        assert len(stage.receivers.delivered) == attempts
        assert view.result is None
        [row] = stage.tinybird.rows
        assert (row["http_status"], row["response_body"]) == (503, "")
        assert (await play.hook("wh_1"))["consecutiveFailures"] == 1

    stage.play(body, settings={"WEBHOOK_UNREACHABLE_RETRIES": policy})


@pytest.mark.parametrize(
    ("reply", "response"),
    [
        (Reply(200, b"x" * 70_000), "(http_body_too_large)"),
        (Reply(200, b"x" * 100, cut_at=10), "(http_unreachable)"),
        (Reply(202, b"\xff\xfe"), "��"),
        (Reply(200, b"y" * 5_000), "y" * 4_000),
        (Reply(303, b"seen", {"location": "/elsewhere"}), "seen"),
    ],
)
def test_an_answer_counts_by_its_status_however_its_body_ends(stage: Stage, reply: Reply, response: str) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1"))
        stage.receivers.answers["wh_1"] = answering(reply)
        view = await deliver_one(play)
        assert view.result == {"success": True, "status": reply.status, "response": response}
        assert len(stage.receivers.delivered) == 1

    stage.play(body)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_followed_with_the_event(stage: Stage, status: int) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1"))
        stage.receivers.secrets["wh_moved"] = stage.receivers.secrets["wh_1"]
        stage.receivers.answers["wh_1"] = answering(Reply(status, b"", {"location": "/hooks/wh_moved"}))
        view = await deliver_one(play)
        assert view.result == {"success": True, "status": 200, "response": "thanks"}
        first, second = stage.receivers.delivered
        assert (first.webhook_id, second.webhook_id) == ("wh_1", "wh_moved")
        assert first.body == second.body

    stage.play(body)


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/latest/meta-data", "http://10.0.0.1/", "file:///etc/passwd", "//[fd00::1]/"]
)
def test_redirects_to_private_addresses_are_not_followed(stage: Stage, location: str) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1"))
        stage.receivers.answers["wh_1"] = answering(Reply(307, b"", {"location": location}))
        view = await deliver_one(play)
        assert view.result is None
        assert len(stage.receivers.delivered) == 10
        [row] = stage.tinybird.rows
        assert (row["http_status"], str(row["response_body"])[:22]) == (503, "The address is refused")

    stage.play(body)


def test_a_loop_of_redirects_ends(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1"))
        stage.receivers.answers["wh_1"] = answering(Reply(308, b"", {"location": "/hooks/wh_1"}))
        await deliver_one(play)
        assert len(stage.receivers.delivered) == 10 * 4
        assert stage.tinybird.rows[0]["response_body"] == "More than 3 redirects"

    stage.play(body)


@pytest.mark.parametrize(
    ("hook", "response"),
    [
        (Hook(id="wh_1", url="http://192.168.0.1/hook"), "The address is refused: 192.168.0.1 is not a public address"),
        (Hook(id="wh_1", url="no address"), "The address is refused: it has blanks, control characters or backslashes"),
        (Hook(id="wh_1", secret=""), "The webhook has no secret"),
    ],
)
def test_webhooks_that_cannot_be_called(stage: Stage, hook: Hook, response: str) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(hook)
        view = await deliver_one(play)
        assert (view.status, view.result) == (JobStatus.COMPLETED, None)
        assert stage.receivers.delivered == []
        assert stage.tinybird.rows[0]["response_body"] == response
        assert (await play.hook("wh_1"))["consecutiveFailures"] == 1

    stage.play(body)


async def until(play: Play, attempts: int) -> None:
    """Run the world until the receiver has seen so many attempts."""
    while len(play.stage.receivers.delivered) < attempts:
        assert await play.world.step()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ('delete from "Webhook"', {"success": False, "status": 404, "response": "Webhook has been deleted"}),
        (
            """update "Webhook" set "disabledAt" = now() at time zone 'utc'""",
            {"success": False, "status": 503, "response": "Webhook has been disabled"},
        ),
        (
            'update organization set "webhookEnabled" = false',
            {"success": False, "status": 503, "response": "Webhook has been disabled"},
        ),
        ("delete from organization", {"success": False, "status": 404, "response": "Webhook has been deleted"}),
    ],
)
def test_the_webhook_is_looked_at_before_every_attempt(
    stage: Stage, change: str, expected: Mapping[str, object]
) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1"))
        stage.receivers.answers["wh_1"] = answering(Reply(500))
        event = await play.announce("document.ready")
        play.world.start("deliver-events", {"organizationId": ORGANIZATION})
        await until(play, 2)
        await play.admin.execute(change)  # type: ignore[arg-type]
        await play.world.run()
        view = play.world.view(keyed_job_id("send-webhook", f"{event}:wh_1"))
        assert (view.status, view.result) == (JobStatus.COMPLETED, expected)
        assert len(stage.receivers.delivered) == 2
        assert stage.resend.sent == []

    stage.play(body)


def test_the_next_attempt_uses_the_address_and_secret_of_its_time(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1"))
        stage.receivers.answers["wh_1"] = answering(Reply(500))
        await play.announce("document.ready")
        play.world.start("deliver-events", {"organizationId": ORGANIZATION})
        await until(play, 1)
        stage.receivers.secrets["wh_new"] = "whsec_new"
        url = f"{stage.receiver.url}/hooks/wh_new"
        await play.admin.execute('update "Webhook" set url = $1, secret = $2', url, "whsec_new")
        await play.world.run()
        assert [(item.webhook_id, item.attempt) for item in stage.receivers.delivered] == [("wh_1", 1), ("wh_new", 2)]

    stage.play(body)


def test_twenty_failures_in_a_row_warn_and_then_disable(stage: Stage) -> None:
    """Scenario 10 of domain.md §9.4."""

    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1"))
        stage.receivers.answers["wh_1"] = answering(Reply(500))
        stage.redis.strings[CACHE] = "[]"
        subjects: list[int] = []
        for number in range(1, 21):
            await deliver_one(play, f"run_{number}")
            if len(stage.resend.sent) > len(subjects):
                subjects.append(number)
            assert (await play.organization())["webhookEnabled"] is (number < 20)
            assert (CACHE in stage.redis.strings) is (number < 20)
        assert subjects == [5, 10, 15, 20]
        assert [mail["subject"] for mail in stage.resend.sent] == [
            *["Webhook is failing to deliver"] * 3,
            "Webhook has been disabled",
        ]
        last = stage.resend.sent[-1]
        assert (last["to"], last["from"]) == ([OWNER], "Agentset.ai <system@agentset.ai>")
        assert last["reply_to"] == "support@agentset.ai"
        for text in (f"{stage.receiver.url}/hooks/wh_1", "20", "https://app.example.com/org-slug/webhooks/wh_1/edit"):
            assert text in str(last["html"])
        assert "20" in str(stage.resend.sent[0]["html"])
        hook = await play.hook("wh_1")
        assert hook["consecutiveFailures"] == 20
        assert hook["disabledAt"] is not None
        # Nothing is queued from now on.
        await play.announce("document.ready", run_id="run_21")
        await play.deliver()
        assert len(stage.tinybird.rows) == 20

    stage.play(body)


def test_another_active_webhook_keeps_the_organizations_switch_on(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1", failures=19))
        await play.add_hook(Hook(id="wh_2", failures=19))
        await play.add_hook(Hook(id="wh_3", disabled=True))
        stage.receivers.answers["wh_1"] = stage.receivers.answers["wh_2"] = answering(Reply(500))
        # One after the other: the first leaves an active one, the second does not.
        await play.admin.execute("""update "Webhook" set triggers = '[]' where id = 'wh_2'""")
        await deliver_one(play, "run_1")
        assert (await play.organization())["webhookEnabled"] is True
        await play.admin.execute("""update "Webhook" set triggers = '["document.ready"]' where id = 'wh_2'""")
        await deliver_one(play, "run_2", "wh_2")
        assert (await play.organization())["webhookEnabled"] is False
        assert len(stage.resend.sent) == 2

    stage.play(body)


def test_a_delivery_that_fails_while_its_webhook_is_being_disabled_only_counts(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1", failures=18))
        stage.receivers.answers["wh_1"] = answering(Reply(500))
        events = [await play.announce("document.ready", run_id=f"run_{number}") for number in range(4)]
        await play.deliver()
        # All four were at their last attempt when the second one disabled the webhook.
        views = [play.world.view(keyed_job_id("send-webhook", f"{event}:wh_1")) for event in events]
        disabled = {"success": False, "status": 503, "response": "Webhook has been disabled"}
        assert sorted(str(view.result) for view in views) == sorted(
            [str(None), str(None), str(disabled), str(disabled)]
        )
        assert len(stage.resend.sent) == 1
        assert (await play.hook("wh_1"))["consecutiveFailures"] in (20, 21, 22)

    stage.play(body)


@pytest.mark.parametrize(
    ("status", "code", "attempts"),
    [(503, "unavailable", 11), (429, "rate_limited", 11), (400, "refused", 1)],
)
def test_trouble_of_the_log_delivers_nothing_again(stage: Stage, status: int, code: str, attempts: int) -> None:
    """W-26."""

    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1"))
        stage.tinybird_server.faults.extend([Reply(status)] * 100)
        before = len(stage.tinybird_server.received)
        view = await deliver_one(play)
        assert view.result == {"success": True, "status": 200, "response": "thanks"}
        assert view.metadata == {"log failed": f"delivery_log_{code}"}
        assert len(stage.receivers.delivered) == 1
        assert len(stage.tinybird_server.received) - before == attempts
        assert (await play.hook("wh_1"))["consecutiveFailures"] == 0

    stage.play(body)
    stage.tinybird_server.faults.clear()


def test_trouble_of_cache_and_emails_changes_nothing_else(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1", failures=19))
        stage.receivers.answers["wh_1"] = answering(Reply(500))
        stage.redis_server.faults.extend([Reply(500)] * 50)
        stage.resend_server.faults.extend([Reply(500)] * 2)
        stage.redis.strings[CACHE] = "[]"
        view = await deliver_one(play)
        assert view.status is JobStatus.COMPLETED
        assert view.metadata == {"drop cache failed": "redis_unavailable"}
        assert len(stage.resend.sent) == 1
        assert (await play.hook("wh_1"))["disabledAt"] is not None

    stage.play(body)
    stage.redis_server.faults.clear()


def test_without_services_to_tell_nothing_is_told(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1", failures=4))
        await play.admin.execute("delete from member")
        stage.receivers.answers["wh_1"] = answering(Reply(500))
        view = await deliver_one(play)
        assert (view.status, view.metadata) == (JobStatus.COMPLETED, {})
        assert (stage.tinybird.rows, stage.resend.sent) == ([], [])

    stage.play(body, settings={"TINYBIRD_API_KEY": "", "RESEND_API_KEY": ""})


def test_a_delivery_that_is_run_again_counts_its_failure_once(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1", failures=4))
        stage.receivers.answers["wh_1"] = answering(Reply(500))
        event = await play.announce("document.ready")
        await play.deliver()
        request = {"webhookId": "wh_1", "eventId": event, "event": "document.ready", "payload": {"id": event}}
        again = play.world.start("send-webhook", request)
        await play.world.run()
        assert play.world.view(again).status is JobStatus.COMPLETED
        assert len(stage.receivers.delivered) == 20
        assert (await play.hook("wh_1"))["consecutiveFailures"] == 5
        assert len(stage.resend.sent) == 1

    stage.play(body)


def test_a_cancelled_delivery_is_tried_again_from_scratch(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1"))
        stage.receivers.answers["wh_1"] = answering(Reply(500), Reply(200, b"thanks"))
        event = await play.announce("document.ready")
        play.world.start("deliver-events", {"organizationId": ORGANIZATION})
        await until(play, 1)
        job_id = keyed_job_id("send-webhook", f"{event}:wh_1")
        play.world.call(job_id, lambda engine: engine.cancel("not wanted"))
        await play.world.run()
        play.world.call(job_id, lambda engine: engine.retry(RetryJob(scratch=True)))
        await play.world.run()
        assert play.world.view(job_id).result == {"success": True, "status": 200, "response": "thanks"}
        assert stage.receivers.identities() == {(event, "wh_1")}

    stage.play(body)


def test_no_journal_holds_an_address_or_a_secret(stage: Stage) -> None:
    """W-31."""

    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1", failures=19, secret="whsec_very_secret"))
        stage.receivers.answers["wh_1"] = answering(Reply(500))
        await deliver_one(play)
        assert len(stage.receivers.delivered) == 10
        for item in play.world.objects.values():
            tables = item.sql.execute("select name from sqlite_master where type = 'table'")
            for (name,) in tables:
                rows = item.sql.execute(f"select * from {name}")  # type: ignore[arg-type]
                text = repr(rows)
                assert "whsec_" not in text
                assert stage.receiver.url not in text
        assert "whsec_" not in repr(play.world.logs)

    stage.play(body)


@pytest.mark.parametrize("extra", [{"url": "https://example.com"}, {"secret": "whsec_x"}])
def test_a_payload_with_an_address_or_a_secret_is_refused(extra: dict[str, str]) -> None:
    payload: dict[str, object] = {"webhookId": "wh_1", "eventId": "evt_1", "event": "document.ready", "payload": {}}
    assert msgspec.to_builtins(send_webhook.parse(payload).model_dump())["event_id"] == "evt_1"
    with pytest.raises(InvalidPayloadError) as caught:
        send_webhook.parse({**payload, **extra})
    assert "whsec_x" not in str(caught.value.details)
