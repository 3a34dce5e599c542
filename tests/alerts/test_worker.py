"""Alerts in the real workerd: a receiver on loopback is told once that something is wrong, and that it is over."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

import httpx
import msgspec

from local.process import LocalStack, wait_until
from tests.embeddings.stub_server import Received, Reply, StubServer
from tests.workerd.scene import changed_configuration

SECRET = "a secret of the tests"
#: Jobs that end are points, too, where the binding is there.
ANALYTICS = '[[analytics_engine_datasets]]\nbinding = "ANALYTICS"\ndataset = "jobs"'
WAIT_S = 60.0


class _Data(msgspec.Struct, frozen=True):
    alert: str
    value: float


class _Message(msgspec.Struct, frozen=True):
    type: str
    data: _Data


def told(server: StubServer) -> list[tuple[str, str, float]]:
    """Return what the receiver was told, each notice once, after checking its signature."""
    notices: dict[str, _Message] = {}
    for request in server.received:
        signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
        digest = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
        assert request.headers["webhook-signature"] == f"v1,{digest}"
        message = msgspec.json.decode(request.body, type=_Message)
        assert notices.setdefault(request.headers["webhook-id"], message) == message
    return [(message.type, message.data.alert, message.data.value) for message in notices.values()]


def start_failing(client: httpx.Client) -> str:
    body = {"workflow": "diagnostic-echo", "payload": {"steps": 1, "fail_at": 1}, "options": {"mode": "direct"}}
    return client.post("/v1/jobs", json=body).raise_for_status().json()["id"]


def shown(client: httpx.Client) -> dict[str, str]:
    alerts = client.get("/v1/alerts").raise_for_status().json()["alerts"]
    return {alert["alert"]: alert["status"] for alert in alerts}


def test_a_dead_letter_is_told_through_a_crash_and_its_end_too(tmp_path: Path) -> None:
    receiving = False

    def answer(request: Received) -> Reply:
        return Reply() if receiving else Reply(status=503)

    with StubServer(answer) as server:
        settings = (
            f'ALERT_WEBHOOK_URL = "{server.url}/hook"\nALERT_WEBHOOK_SECRET = "{SECRET}"\nALERT_CLEAR_MINUTES = "0"'
        )
        options = changed_configuration(tmp_path, "[triggers]", f"[vars]\n{settings}\n\n{ANALYTICS}\n\n[triggers]")
        with LocalStack(tmp_path / "state", arguments=["--no-services", *options]) as stack:
            with stack.client() as client:
                job_id = start_failing(client)
                wait_until(lambda: client.get("/v1/dead-letters").json()["dead_letters"] != [], timeout_s=WAIT_S)
                stack.run_scheduled()
                stack.run_scheduled()  # a tick that comes twice tells nobody twice
                assert shown(client) == {"dead_letters": "firing"}
                wait_until(lambda: len(server.received) >= 2, timeout_s=WAIT_S)
                (undelivered,) = client.get("/v1/alerts").json()["undelivered"]
                assert undelivered["error"] in {None, "http_503"}
            stack.kill_workerd()
            receiving = True
            stack.wait_ready()
            with stack.client() as client:
                wait_until(lambda: client.get("/v1/alerts").json()["undelivered"] == [], timeout_s=WAIT_S)
                assert told(server) == [("alert.firing", "dead_letters", 1)]
                client.delete(f"/v1/jobs/{job_id}").raise_for_status()
                wait_until(lambda: client.get("/v1/dead-letters").json()["dead_letters"] == [], timeout_s=WAIT_S)
                stack.run_scheduled()
                wait_until(lambda: len(told(server)) == 2, timeout_s=WAIT_S)
                assert told(server)[1] == ("alert.resolved", "dead_letters", 0)
                assert shown(client) == {"dead_letters": "resolved"}
            assert not [line for line in stack.lines if "analytics.failed" in line or '"level":"error"' in line]
