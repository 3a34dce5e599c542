"""Receivers of webhooks, every fault: what an attempt comes to, whatever the receiver does."""

from __future__ import annotations

import asyncio

import pytest

from local.http import HttpxHttp
from steps.outbound import OutboundSettings
from steps.webhooks.delivery import MAX_ANSWER_BYTES, Answer, deliver
from tests.contracts.test_faults import Impatient
from tests.embeddings.stub_server import Reply, StubServer, json_reply
from tests.webhooks.stubs import Receivers

SECRET, BODY = "whsec_wh_1", b'{"id":"evt_1","event":"document.ready"}'


def attempt(fault: Reply | None, secret: str = SECRET) -> Answer:
    async def run() -> Answer:
        faults = [fault] if fault is not None else []
        async with HttpxHttp() as http:
            way_out = Impatient(http, faults)
            url = f"{server.url}/hooks/wh_1"
            return await deliver(way_out, OutboundSettings(allow_loopback=True), url, secret, BODY, 1)

    with StubServer(Receivers()) as server:
        if fault is not None:
            server.faults.append(fault)
        found = asyncio.run(run())
        assert len(server.received) == 1, "the engine tries again, not the client"
        return found


def test_the_receiver_is_satisfied() -> None:
    assert attempt(None) == Answer(200, "thanks")


def test_a_wrong_secret_is_no_delivery() -> None:
    assert not attempt(None, "whsec_other").delivered


@pytest.mark.parametrize(
    ("fault", "status", "delivered", "unreachable"),
    [
        (json_reply({"error": "slow down"}, 429, retry_after="7"), 429, False, False),
        (Reply(500), 500, False, False),
        (Reply(503, b"busy"), 503, False, False),
        (Reply(404), 404, False, False),
        (Reply(413), 413, False, False),
        (Reply(hang=True), 503, False, True),
        (Reply(200, b"thanks" * 10, cut_at=10), 200, True, False),
        (Reply(500, b"sorry" * 10, cut_at=10), 500, False, False),
        (Reply(200, b"x" * (MAX_ANSWER_BYTES + 1)), 200, True, False),
        (Reply(200, b"\xff\xfe"), 200, True, False),
        (Reply(204, b""), 204, True, False),
    ],
)
def test_what_an_attempt_comes_to(fault: Reply, status: int, delivered: bool, unreachable: bool) -> None:
    answer = attempt(fault)
    assert (answer.status, answer.delivered, answer.unreachable) == (status, delivered, unreachable)
    assert SECRET not in repr(answer)
