"""The API in the real workerd: real objects, alarms and queues."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import pytest

from durable.queues import DEAD_LETTER_QUEUE
from local.process import LocalStack, wait_until
from orchestrator.limits import MAX_BODY_BYTES, MAX_PAYLOAD_BYTES
from tests.http.support import problem

QUEUE = "orchestrator-default-queue"
WAIT_S = 60.0


@pytest.fixture
def client(stack: LocalStack) -> Iterator[httpx.Client]:
    with stack.client() as client:
        yield client


def start(client: httpx.Client, payload: dict[str, object] | None = None, **options: object) -> str:
    body = {"workflow": "diagnostic-echo", "payload": payload or {}, "options": options}
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def view(client: httpx.Client, job_id: str) -> dict[str, object]:
    return client.get(f"/v1/jobs/{job_id}").raise_for_status().json()


def finished(client: httpx.Client, job_id: str) -> dict[str, object]:
    wait_until(lambda: view(client, job_id)["finished_at"] is not None, timeout_s=WAIT_S)
    return view(client, job_id)


@pytest.mark.parametrize("mode", ["queue", "direct"])
def test_a_job_from_enqueue_to_result(client: httpx.Client, mode: str) -> None:
    job = finished(client, start(client, {"steps": 50}, mode=mode))
    assert (job["status"], job["result"]) == ("completed", {"steps": 50, "total": 1275})
    assert (job["attempts"], job["crashes"]) == (1, 0)


def test_status_is_exact_when_enqueue_returns(client: httpx.Client) -> None:
    job_id = start(client, delay=3600, tags=["exact"])
    job = view(client, job_id)
    assert (job["status"], job["tags"], job["started_at"]) == ("waiting", ["exact"], None)
    assert client.post(f"/v1/jobs/{job_id}/cancel").json() == {"id": job_id, "status": "cancelled"}


def test_one_key_is_one_job(client: httpx.Client) -> None:
    body: dict[str, object] = {"workflow": "diagnostic-echo", "payload": {}}
    key = {"idempotency-key": str(uuid.uuid4())}
    first, again = (client.post("/v1/jobs", json=body, headers=key).json() for _ in range(2))
    assert (again["id"], first["deduplicated"], again["deduplicated"]) == (first["id"], False, True)
    assert finished(client, first["id"])["slices"] == 1


def test_strangers_are_refused(stack: LocalStack) -> None:
    with httpx.Client(base_url=stack.url) as stranger:
        assert stranger.get("/healthz").json() == {"status": "ok"}
        for headers in ({}, {"authorization": "Bearer wrong"}):
            answer = stranger.post("/v1/jobs", json={"workflow": "diagnostic-echo"}, headers=headers)
            problem(answer, 401, "unauthorized")
            assert "www-authenticate" in answer.headers


def test_bad_requests_are_problems(client: httpx.Client) -> None:
    json_type = {"content-type": "application/json"}
    problem(client.post("/v1/jobs", content=b'{"workflow": ', headers=json_type), 400, "invalid_json")
    problem(client.post("/v1/jobs", content=b"[" * 100_000, headers=json_type), 400, "too_deep")
    problem(client.post("/v1/jobs", json={"workflow": "nope", "payload": {}}), 404, "unknown_workflow")
    problem(
        client.post("/v1/jobs", json={"workflow": "diagnostic-echo", "payload": {"steps": "x"}}), 422, "invalid_payload"
    )
    problem(client.post("/v1/jobs", json={"workflow": 3}), 422, "invalid_request")
    problem(client.get("/v1/jobs/run_00000000000000000000000000"), 404, "unknown_job")
    problem(client.get("/nowhere"), 404, "not_found")
    problem(client.get("/v1/jobs?cursor=%ff"), 400, "invalid_cursor")
    problem(client.post(f"/v1/jobs/{start(client, mode='direct')}/resume"), 409, "conflict")
    problem(client.put("/v1/jobs"), 405, "method_not_allowed")


def test_an_integer_beyond_64_bits_is_refused(client: httpx.Client) -> None:
    # The payload model of the ingestion workflows ignores what it does not know, but the journal has to store it.
    body = {"workflow": "trigger-ingestion-job", "payload": {"jobId": "a", "organizationId": "b", "extra": 2**70}}
    assert client.post("/v1/jobs", json=body).status_code == 422


def test_the_largest_payload_is_kept_as_it_is(client: httpx.Client) -> None:
    def post(chars: int) -> httpx.Response:
        payload = {"jobId": "large", "organizationId": "large", "extra": "x" * chars}
        body = {"workflow": "trigger-ingestion-job", "payload": payload, "options": {"delay": 3600}}
        return client.post("/v1/jobs", json=body, headers={"idempotency-key": "the-largest-payload"})

    created, again = (post(MAX_PAYLOAD_BYTES - 1_000) for _ in range(2))
    assert (created.status_code, again.json()) == (202, {**created.json(), "deduplicated": True})
    job = client.get(f"/v1/jobs/{created.json()['id']}/export").json()["job"]
    assert job["payload"]["extra"] == "x" * (MAX_PAYLOAD_BYTES - 1_000)
    problem(post(MAX_PAYLOAD_BYTES + 1_000), 413, "value_too_large")


def test_large_bodies(client: httpx.Client) -> None:
    def stream(size: int) -> Iterator[bytes]:
        yield b'{"workflow": "diagnostic-echo", "payload": {}'
        for _ in range(size // 50_000):
            yield b" " * 50_000
        yield b"}"

    def post(size: int) -> httpx.Response:
        return client.post("/v1/jobs", content=stream(size), headers={"content-type": "application/json"})

    assert post(MAX_BODY_BYTES - 100_000).status_code == 202
    problem(post(MAX_BODY_BYTES + 100_000), 413, "payload_too_large")
    declared = client.post(
        "/v1/jobs", content=b" " * (MAX_BODY_BYTES + 1), headers={"content-type": "application/json"}
    )
    problem(declared, 413, "payload_too_large")


def test_a_batch(client: httpx.Client) -> None:
    items = [{"workflow": "diagnostic-echo", "payload": {"steps": number}} for number in range(120)]
    answer = client.post("/v1/jobs/batch", json={"items": [*items, {"workflow": "nope"}]}).json()
    assert (answer["accepted"], answer["rejected"]) == (120, 1)
    for number, result in enumerate(answer["results"][:120]):
        assert finished(client, result["id"])["result"] == {"steps": number, "total": number * (number + 1) // 2}


def read_events(client: httpx.Client, job_id: str, *, last: str | None = None, count: int | None = None) -> list[str]:
    """Return ids of a stream's events: all, or the first ``count`` and hang up."""
    ids: list[str] = []
    headers = {} if last is None else {"last-event-id": last}
    with client.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as answer:
        for line in answer.iter_lines():
            if line.startswith("id: "):
                ids.append(line.removeprefix("id: "))
                if len(ids) == count:
                    break
    return ids


def test_a_stream_is_live_and_resumes(client: httpx.Client) -> None:
    job_id = start(client, {"steps": 4, "sleep_ms": 1_500})
    first = read_events(client, job_id, count=2)
    assert view(client, job_id)["finished_at"] is None
    rest = read_events(client, job_id, last=first[-1])
    listed = client.get(f"/v1/jobs/{job_id}/events", headers={"accept": "application/json"}).json()["events"]
    assert [*first, *rest] == [str(event["id"]) for event in listed]
    assert listed[-1]["kind"] == "job.completed"
    assert read_events(client, job_id, last=rest[-1]) == []


def test_duplicate_foreign_and_late_messages_are_harmless(stack: LocalStack, client: httpx.Client) -> None:
    job_id = start(client, {"steps": 3, "sleep_ms": 300})
    nobody = f"run_{uuid.uuid4().hex[:26].replace('u', '0').replace('l', '0')}"
    stack.deliver(QUEUE, {"id": job_id}, {"id": job_id}, {"id": nobody}, "nonsense", {"id": job_id})
    job = finished(client, job_id)
    stack.deliver(QUEUE, {"id": job_id})
    assert view(client, job_id) | {"cost": None} == job | {"cost": None}
    assert (job["status"], job["result"]) == ("completed", {"steps": 3, "total": 6})
    letters = client.get("/v1/dead-letters").json()["dead_letters"]
    assert any(letter["job_id"] == nobody and letter["cause"].startswith("unknown_job") for letter in letters)
    assert any(letter["cause"].startswith("malformed_message") for letter in letters)


def test_a_dead_message_starts_its_job_and_is_kept(stack: LocalStack, client: httpx.Client) -> None:
    job_id = start(client, {"steps": 1})
    stack.deliver(DEAD_LETTER_QUEUE, {"id": job_id})
    assert finished(client, job_id)["status"] == "completed"
    letters = client.get("/v1/dead-letters").json()["dead_letters"]
    assert any(letter["job_id"] == job_id and letter["kind"] == "message" for letter in letters)


def test_the_catalog_follows(client: httpx.Client) -> None:
    tag = str(uuid.uuid4())
    done = start(client, {"steps": 1}, tags=[tag])
    failed = start(client, {"steps": 1, "fail_at": 1}, tags=[tag])

    def listed(status: str) -> list[str]:
        return [job["id"] for job in client.get("/v1/jobs", params={"tag": tag, "status": status}).json()["jobs"]]

    wait_until(lambda: (listed("completed"), listed("failed")) == ([done], [failed]), timeout_s=WAIT_S)
    letters = client.get("/v1/dead-letters").json()["dead_letters"]
    assert [letter["cause"] for letter in letters if letter["job_id"] == failed] == [
        "diagnostic_failure: step 1 failed because the payload asks for it"
    ]
    assert 'orchestrator_jobs{workflow="diagnostic-echo",status="failed"}' in client.get("/metrics").text


def test_control(client: httpx.Client) -> None:
    job_id = start(client, {"steps": 2, "sleep_ms": 400})
    wait_until(lambda: view(client, job_id)["status"] == "suspended", timeout_s=WAIT_S)
    assert client.post(f"/v1/jobs/{job_id}/pause").json()["status"] == "paused"
    assert client.post(f"/v1/jobs/{job_id}/events/anything", json={"data": {"n": 1}}).status_code == 202
    assert client.post(f"/v1/jobs/{job_id}/resume").json()["status"] == "running"
    assert finished(client, job_id)["status"] == "completed"
    failed = start(client, {"steps": 1, "fail_at": 1})
    finished(client, failed)
    assert client.post(f"/v1/jobs/{failed}/retry", json={"scratch": True}).status_code == 202
    assert finished(client, failed)["status"] == "failed"
    problem(client.post("/api/v1/waitpoints/tokens/nonsense/complete", json={"data": 1}), 404, "unknown_token")


def test_the_tick_runs(stack: LocalStack, client: httpx.Client) -> None:
    stack.run_scheduled()
    assert client.get("/healthz").status_code == 200


def test_the_document_is_served(client: httpx.Client) -> None:
    assert client.get("/openapi.json").raise_for_status().json()["openapi"].startswith("3.1")


def test_a_crash_right_after_the_answer_loses_nothing(stack: LocalStack) -> None:
    with stack.client() as client:
        ids = [start(client, {"steps": 20, "sleep_ms": 500}) for _ in range(5)]
    stack.kill_workerd()
    stack.wait_ready()
    with stack.client() as client:
        for job_id in ids:
            job = finished(client, job_id)
            assert (job["status"], job["result"]) == ("completed", {"steps": 20, "total": 210})
