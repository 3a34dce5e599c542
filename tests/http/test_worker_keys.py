"""API keys in the real workerd: kept by their object, also when everything is killed, and so is the audit log."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from local.process import LocalStack
from tests.http.support import problem


@pytest.fixture
def client(stack: LocalStack) -> Iterator[httpx.Client]:
    with stack.client() as client:
        yield client


def made(client: httpx.Client, *scopes: str, **members: object) -> tuple[str, httpx.Client]:
    """Return a new key's id, and a client that uses it."""
    answer = client.post("/v1/keys", json={"name": "test", "scopes": list(scopes), **members})
    assert answer.status_code == 201, answer.text
    headers = {"authorization": f"Bearer {answer.json()['key']}"}
    return answer.json()["id"], httpx.Client(base_url=client.base_url, headers=headers, timeout=30)


def test_a_tenants_key_from_its_making_to_its_end(client: httpx.Client) -> None:
    key_id, tenant = made(client, "enqueue", "read", tenant="t1")
    body = {"workflow": "diagnostic-echo", "payload": {"steps": 1}}
    with tenant:
        own = tenant.post("/v1/jobs", json=body).json()["id"]
        other = client.post("/v1/jobs", json=body).json()["id"]
        assert tenant.get(f"/v1/jobs/{own}").json()["tenant"] == "t1"
        for path in ("", "/steps", "/events", "/export"):
            problem(tenant.get(f"/v1/jobs/{other}{path}"), 404, "unknown_job")
        problem(tenant.post(f"/v1/jobs/{own}/cancel"), 403, "missing_scope")
        problem(tenant.get("/metrics"), 403, "restricted_key")
        assert client.delete(f"/v1/keys/{key_id}").status_code == 204
        problem(tenant.get(f"/v1/jobs/{own}"), 401, "unauthorized")


def test_keys_survive_a_kill(stack: LocalStack, client: httpx.Client) -> None:
    _, kept = made(client, "read")
    revoked_id, revoked = made(client, "read")
    client.delete(f"/v1/keys/{revoked_id}").raise_for_status()
    stack.kill_workerd()
    stack.wait_ready()
    with kept, revoked, stack.client() as again:
        headers = dict(kept.headers), dict(revoked.headers)
        assert again.get("/v1/keys/current", headers=headers[0]).status_code == 200
        problem(again.get("/v1/keys/current", headers=headers[1]), 401, "unauthorized")
        entries = again.get("/v1/audit", params={"target": revoked_id}).json()["entries"]
        assert [(entry["operation"], entry["key_id"], entry["status"]) for entry in entries] == [
            ("revoke_key", "root", 204),
            ("create_key", "root", 201),
        ]
