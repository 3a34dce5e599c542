"""Notices arrive, at least once and under one id, whatever fails in between; and what does not arrive is shown."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Sequence

import msgspec
import pytest

from durable.alerts.engine import GIVE_UP_MS, RETRY_MAX_MS
from durable.alerts.settings import AlertPolicy, AlertReceiver
from orchestrator.errors import OrchestratorError
from tests.alerts.host import MINUTE_MS, SECRET, URL, AlertHost, Delivered

POLICY = AlertPolicy(queue_depth=10, hold_ms=0, clear_ms=0, repeat_ms=10 * MINUTE_MS)


def played(answers: Sequence[int | str] = (), crash_at: int | None = None) -> AlertHost:
    """Two queues become deep, one stays so for a while, both are well again; a tick every minute."""

    async def play() -> AlertHost:
        host = AlertHost(POLICY)
        host.answers = list(answers)
        if crash_at is not None:
            host.crash_at = {crash_at}
        for minute in range(16):
            host.see({"a": 50 if minute < 14 else 0, "b": 20 if 2 <= minute < 4 else 1})
            await host.run(for_ms=MINUTE_MS)
        await host.run(for_ms=20 * MINUTE_MS)
        return host

    return asyncio.run(play())


def unique(received: Sequence[Delivered]) -> dict[str, bytes]:
    """Return the body of each notice; one that arrives twice is the same twice."""
    found: dict[str, bytes] = {}
    for item in received:
        assert found.setdefault(item.id, item.body) == item.body
    return found


def kinds(host: AlertHost) -> list[object]:
    return [msgspec.json.decode(body)["type"] for body in unique(host.received).values()]


def test_people_are_told_what_was_decided() -> None:
    host = played()
    assert kinds(host) == [
        "alert.firing", "alert.firing", "alert.resolved", "alert.reminder", "alert.resolved",
    ]  # fmt: skip
    assert host.engine.view().undelivered == []
    assert host.alarm_ms is None
    first = msgspec.json.decode(host.received[0].body)
    assert first["text"] == "Alert: 50 jobs wait in a (threshold 10)"
    assert first["data"]["runbook"] == "docs/runbooks.md#queue-depth"
    assert (first["data"]["status"], first["data"]["value"]) == ("firing", 50)


def test_each_delivery_is_signed() -> None:
    host = played()
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    for item in host.received:
        signed = f"{item.id}.{item.headers['webhook-timestamp']}.".encode() + item.body
        digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert item.headers["webhook-signature"] == f"v1,{digest}"
        assert item.url == URL


def test_a_crash_before_any_write_loses_no_notice_and_changes_none() -> None:
    undisturbed = played()
    expected = list(unique(undisturbed.received))
    for write in range(1, undisturbed.writes + 1):
        host = played(crash_at=write)
        assert host.crashes == 1, write
        found = unique(host.received)
        assert [_without_time(item) for item in found] == [_without_time(item) for item in expected], write
        assert host.engine.view().undelivered == []


def _without_time(notice_id: str) -> tuple[str, str]:
    """A tick that died is repeated by the same minute's, so the time stays; only the order of writes differs."""
    key, _, count = notice_id.rpartition("/")
    return key.rpartition("/")[0], count


@pytest.mark.parametrize("answers", [[500, 503, "http_timeout"], ["http_unreachable"] * 5, [404, 302, 200, 429]])
def test_a_receiver_that_fails_for_a_while_gets_everything(answers: list[int | str]) -> None:
    host = played(answers)
    assert list(unique(host.received)) == list(unique(played().received))
    assert len(host.received) == len(unique(host.received)) + sum(answer != 200 for answer in answers)


def test_what_has_not_arrived_is_shown_and_given_up_after_a_day() -> None:
    async def scenario() -> None:
        host = AlertHost(POLICY)
        host.answers = [500] * 10_000
        host.see({"a": 50})
        await host.run(for_ms=MINUTE_MS)
        (delivery,) = host.engine.view().undelivered
        assert (delivery.error, delivery.dropped_at_ms) == ("http_500", None)
        assert delivery.attempts > 3
        await host.run(for_ms=GIVE_UP_MS)
        tries = len(host.received)
        (delivery,) = host.engine.view().undelivered
        assert delivery.dropped_at_ms is not None
        assert GIVE_UP_MS / RETRY_MAX_MS <= tries < GIVE_UP_MS / RETRY_MAX_MS + 20
        assert host.alarm_ms is None
        host.answers = []
        host.see({"a": 50})
        await host.run(for_ms=MINUTE_MS)
        assert host.received[-1].kind == "alert.reminder"
        assert [item[1] for item in host.logs].count("alert.given_up") == 1

    asyncio.run(scenario())


def test_one_alert_that_does_not_get_through_holds_up_no_other_and_keeps_its_order() -> None:
    async def scenario() -> None:
        host = AlertHost(POLICY)
        host.answers = ["http_timeout"]
        host.see({"a": 50, "b": 50})
        host.see({"a": 0, "b": 50})
        await host.run(for_ms=500)
        assert [item.id.split("/")[1] for item in host.received] == ["a", "b"]
        await host.run(for_ms=MINUTE_MS)
        assert [(item.id.split("/")[1], item.kind) for item in host.received[2:]] == [
            ("a", "alert.firing"),
            ("a", "alert.resolved"),
        ]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("receiver", "reason"),
    [(AlertReceiver(), "ALERT_WEBHOOK_URL is not set"), (AlertReceiver(url=URL), "ALERT_WEBHOOK_SECRET is not set")],
)
def test_without_a_receiver_alerts_are_shown_and_nothing_is_kept_for_later(
    receiver: AlertReceiver, reason: str
) -> None:
    host = AlertHost(POLICY, receiver)
    host.see({"a": 50})
    view = host.engine.view()
    assert ([alert.status for alert in view.alerts], view.undelivered, view.silent_because) == (["firing"], [], reason)
    assert host.alarm_ms is None
    assert ("warning", "alert.firing") in [item[:2] for item in host.logs]


def test_an_observation_that_changes_nothing_writes_one_row() -> None:
    host = AlertHost(POLICY)
    host.see({"a": 1})
    before = host.sql.rows_written
    host.see({"a": 2})
    assert host.sql.rows_written - before == 1


def test_the_view_says_when_and_what_was_looked_at() -> None:
    host = AlertHost(POLICY)
    assert host.engine.view().evaluated_at_ms is None
    host.see({"a": 1}, "catalog-4-1")
    view = host.engine.view()
    assert (view.evaluated_at_ms, view.missing) == (host.clock.now_ms(), ["catalog-4-1"])


def test_neither_the_address_nor_the_secret_is_logged() -> None:
    host = played([500, "http_timeout"])
    text = repr(host.logs)
    assert "hidden" not in text
    assert SECRET not in text


def test_settings_that_mean_nothing_are_refused_and_change_nothing() -> None:
    host = AlertHost(POLICY)
    host.see({"a": 50})
    host.policy = OrchestratorError("ALERT_QUEUE_DEPTH is a number", code="invalid_setting")
    with pytest.raises(OrchestratorError):
        host.see({"a": 1})
    assert [alert.status for alert in host.engine.view().alerts] == ["firing"]
