"""``POST /v1/jobs``, its batch and the platform's triggers: durable before queued."""

from __future__ import annotations

import httpx
import pytest

from durable.http.triggers import WORKFLOWS, priority_of
from orchestrator.errors import OrchestratorError, RetryableError
from orchestrator.limits import MAX_BATCH_JOBS, MAX_IDEMPOTENCY_KEY_CHARS
from tests.http.support import SECRET, Api, problem

ECHO: dict[str, object] = {"workflow": "diagnostic-echo", "payload": {"steps": 2}}
KEEP: dict[str, object] = {"workflow": "keep", "payload": {}}


def test_a_job_is_recorded_and_sent_to_its_queue(api: Api) -> None:
    answer = api.post("/v1/jobs", ECHO)
    assert answer.status_code == 202
    job_id = answer.json()["id"]
    assert answer.json() == {"id": job_id, "status": "queued", "deduplicated": False}
    assert answer.headers["location"] == f"/v1/jobs/{job_id}"
    assert api.backend.sent == [("orchestrator-default-queue", [job_id])]
    assert api.get(f"/v1/jobs/{job_id}").json()["status"] == "queued"
    api.run()
    assert api.get(f"/v1/jobs/{job_id}").json()["result"] == {"steps": 2, "total": 3}


def test_a_queue_that_is_down_costs_time_but_no_job(api: Api) -> None:
    api.backend.failures["enqueue"] = [RetryableError("the queue took no message", code="queue_unavailable")]
    job_id = api.start("diagnostic-echo", {"steps": 1})
    assert (api.backend.sent, api.backend.expected) == ([], [job_id])
    assert api.logs == [("warning", "enqueue.postponed", {"jobs": 1, "first": job_id, "error": "queue_unavailable"})]
    api.run()
    assert api.get(f"/v1/jobs/{job_id}").json()["status"] == "completed"


def test_a_job_that_nobody_would_miss_is_not_promised(api: Api) -> None:
    api.backend.failures["enqueue"] = [RetryableError("the queue took no message", code="queue_unavailable")]
    api.backend.failures["expect"] = [RetryableError("no answer", code="object_unreachable")]
    answer = api.post("/v1/jobs", ECHO)
    assert (answer.status_code, answer.json()["code"]) == (503, "object_unreachable")


def test_direct_mode_needs_no_queue(api: Api) -> None:
    answer = api.post("/v1/jobs", {**ECHO, "options": {"mode": "direct"}})
    assert answer.json()["status"] == "running"
    assert api.backend.sent == []


@pytest.mark.parametrize("delay", [90, 90.0, "PT1M30S"])
def test_a_delayed_job_waits_for_its_time(api: Api, delay: object) -> None:
    answer = api.post("/v1/jobs", {**ECHO, "options": {"delay": delay}})
    assert answer.json()["status"] == "waiting"
    assert api.backend.sent == []
    api.run(for_ms=89_000)
    assert api.get(f"/v1/jobs/{answer.json()['id']}").json()["waits"][0]["reason"]
    api.run(for_ms=2_000)
    assert api.get(f"/v1/jobs/{answer.json()['id']}").json()["status"] == "completed"


def test_one_key_is_one_job(api: Api) -> None:
    first = api.post("/v1/jobs", {**ECHO, "options": {"idempotency_key": "order 1"}}).json()
    again = api.post("/v1/jobs", ECHO, idempotency_key="order 1").json()
    other = api.post("/v1/jobs", {"workflow": "keep", "payload": {}}, idempotency_key="order 1").json()
    assert again == {**first, "deduplicated": True}
    assert other["id"] != first["id"]
    api.run()
    late = api.post("/v1/jobs", ECHO, idempotency_key="order 1").json()
    assert late == {"id": first["id"], "status": "completed", "deduplicated": True}


def test_two_different_keys_are_a_contradiction(api: Api) -> None:
    answer = api.post("/v1/jobs", {**ECHO, "options": {"idempotency_key": "a"}}, idempotency_key="b")
    problem(answer, 400, "idempotency_keys_differ")


def test_an_unknown_workflow(api: Api) -> None:
    document = problem(api.post("/v1/jobs", {"workflow": "nope", "payload": {}}), 404, "unknown_workflow")
    assert "diagnostic-echo" in str(document["known"])
    assert api.world.objects == {}


def test_a_payload_that_is_no_object_is_refused_in_words(api: Api) -> None:
    document = problem(api.post("/v1/jobs", {"workflow": "diagnostic-echo", "payload": []}), 422, "invalid_payload")
    assert str(document["detail"]).startswith("The payload does not fit diagnostic-echo: Input should be")
    both = problem(api.post("/v1/jobs/bulk", {"action": "cancel"}), 422, "invalid_request")
    assert both["errors"] == [{"path": "body", "message": "either ids or filter"}]


def test_a_payload_that_does_not_fit(api: Api) -> None:
    body = {"workflow": "diagnostic-echo", "payload": {"steps": SECRET, "fail_at": 0}}
    document = problem(api.post("/v1/jobs", body), 422, "invalid_payload")
    assert [fault["path"] for fault in document["errors"]] == ["body.payload.steps", "body.payload.fail_at"]  # type: ignore[union-attr, index]
    assert api.world.objects == {}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "body.workflow"),
        ({"workflow": 3}, "body.workflow"),
        ({"workflow": ""}, "body.workflow"),
        ({**ECHO, "extra": SECRET}, "body.extra"),
        ({**ECHO, "options": {"unknown": SECRET}}, "body.options.unknown"),
        ({**ECHO, "options": {"mode": SECRET}}, "body.options.mode"),
        ({**ECHO, "options": {"priority": "1"}}, "body.options.priority"),
        ({**ECHO, "options": {"priority": -1}}, "body.options.priority"),
        ({**ECHO, "options": {"priority": True}}, "body.options.priority"),
        ({**ECHO, "options": {"delay": -1}}, "body.options.delay"),
        ({**ECHO, "options": {"delay": True}}, "body.options.delay"),
        ({**ECHO, "options": {"delay": 1e300}}, "body.options.delay"),
        ({**ECHO, "options": {"delay": "tomorrow"}}, "body.options.delay"),
        ({**ECHO, "options": {"tags": ["a"] * 17}}, "body.options.tags"),
        ({**ECHO, "options": {"tags": [""]}}, "body.options.tags.0"),
        ({**ECHO, "options": {"tags": ["a\nb"]}}, "body.options.tags.0"),
        ({**ECHO, "options": {"tags": ["x" * 129]}}, "body.options.tags.0"),
        (
            {**ECHO, "options": {"idempotency_key": "x" * (MAX_IDEMPOTENCY_KEY_CHARS + 1)}},
            "body.options.idempotency_key",
        ),
        ([ECHO], "body"),
        ("text", "body"),
    ],
)
def test_a_request_that_does_not_fit(api: Api, body: object, path: str) -> None:
    document = problem(api.post("/v1/jobs", body), 422, "invalid_request")
    assert [fault["path"] for fault in document["errors"]] == [path]  # type: ignore[union-attr, index]
    assert api.world.objects == {}


def test_a_request_without_a_body(api: Api) -> None:
    problem(api.request("POST", "/v1/jobs"), 422, "invalid_request")


def test_a_header_that_is_too_long(api: Api) -> None:
    problem(api.post("/v1/jobs", ECHO, idempotency_key="x" * 2000), 422, "invalid_request")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RetryableError(SECRET, code="object_overloaded"), 503, "object_overloaded"),
        (RetryableError(SECRET, code="object_unreachable"), 503, "object_unreachable"),
        (OrchestratorError(SECRET), 500, "internal"),
        (OrchestratorError("The payload takes 2 bytes", code="value_too_large"), 413, "value_too_large"),
        (OrchestratorError("The payload cannot be stored", code="value_not_encodable"), 422, "value_not_encodable"),
    ],
)
def test_a_failing_object_is_answered_with_what_callers_can_use(
    api: Api, error: OrchestratorError, status: int, code: str
) -> None:
    api.backend.failures["create"] = [error]
    answer = api.post("/v1/jobs", ECHO)
    problem(answer, status, code)
    assert ("retry-after" in answer.headers) == (status == 503)


def test_a_batch_answers_for_each_item(api: Api) -> None:
    items: list[object] = [ECHO, {"workflow": "nope"}, 3, KEEP, {**ECHO, "payload": {"steps": -1}}]
    answer = api.post("/v1/jobs/batch", {"items": items})
    assert answer.status_code == 202
    body = answer.json()
    assert (body["accepted"], body["rejected"]) == (2, 3)
    results = body["results"]
    assert [result["index"] for result in results] == [0, 1, 2, 3, 4]
    codes = [result.get("error", {}).get("code") for result in results]
    assert codes == [None, "unknown_workflow", "invalid_request", None, "invalid_payload"]
    assert sorted(job_id for _, ids in api.backend.sent for job_id in ids) == sorted(
        result["id"] for result in results if "id" in result
    )
    api.run()
    assert api.get(f"/v1/jobs/{results[0]['id']}").json()["status"] == "completed"


def test_the_largest_batch_is_one_send_per_queue(api: Api) -> None:
    answer = api.post("/v1/jobs/batch", {"items": [KEEP] * MAX_BATCH_JOBS})
    ids = [result["id"] for result in answer.json()["results"]]
    assert len(set(ids)) == MAX_BATCH_JOBS
    assert api.backend.sent == [("orchestrator-default-queue", ids)]


@pytest.mark.parametrize("items", [[], [ECHO] * (MAX_BATCH_JOBS + 1), None])
def test_a_batch_has_bounds(api: Api, items: object) -> None:
    problem(api.post("/v1/jobs/batch", {"items": items}), 422, "invalid_request")


def test_an_item_that_fails_leaves_the_others(api: Api) -> None:
    api.backend.failures["create"] = [RetryableError(SECRET, code="object_overloaded")]
    results = api.post("/v1/jobs/batch", {"items": [ECHO, ECHO]}).json()["results"]
    assert results[0]["error"]["status"] == 503
    assert results[1]["status"] == "queued"


@pytest.mark.parametrize(
    ("name", "plan", "seconds"),
    [
        ("ingest", "pro", 86_400),
        ("ingest", "enterprise", 86_400),
        ("ingest", "free", 57_600),
        ("ingest", None, 57_600),
        ("re-ingest", "anything", 57_600),
        ("delete-document", None, 0),
        ("delete-document", "pro", 86_400),
    ],
)
def test_priority_follows_the_plan(name: str, plan: str | None, seconds: int) -> None:
    assert priority_of(name, plan) == seconds


def test_a_trigger_starts_its_workflow(api: Api) -> None:
    answer = api.post("/trigger/ingest", {"body": {"value": "job_1"}, "plan": "pro"})
    assert answer.status_code == 202
    assert answer.json() == {"id": api.backend.requests[0].job_id}
    request = api.backend.requests[0]
    assert (request.workflow, request.payload) == ("trigger-ingestion-job", {"value": "job_1"})
    assert request.options.priority == 86_400
    assert api.backend.sent == [("agentset-ingest-queue", [request.job_id])]


def test_a_trigger_with_a_key_is_one_job(api: Api) -> None:
    ids = {api.post("/trigger/ingest", {"body": {}}, idempotency_key="k").json()["id"] for _ in range(2)}
    assert len(ids) == 1


@pytest.mark.parametrize("name", sorted(set(WORKFLOWS) - {"ingest", "meter-org-documents"}))
def test_a_trigger_whose_workflow_is_not_registered(api: Api, name: str) -> None:
    problem(api.post(f"/trigger/{name}", {"body": {}}), 404, "unknown_workflow")


@pytest.mark.parametrize("body", [{}, {"plan": "pro"}, {"body": {}, "plan": 3}, []])
def test_a_trigger_that_does_not_fit(api: Api, body: object) -> None:
    problem(api.post("/trigger/ingest", body), 422, "invalid_request")


def test_metering_takes_one_or_several(api: Api) -> None:
    one = api.post("/trigger/meter-org-documents", {"body": {"value": "org_1"}}).json()
    items = [{"value": "org_1"}, {"body": {"value": "org_2"}, "plan": "pro"}]
    many = api.post("/trigger/meter-org-documents", {"items": items}, idempotency_key="month 1").json()
    again = api.post("/trigger/meter-org-documents", {"items": items}, idempotency_key="month 1").json()
    assert list(one) == ["id"]
    assert many["id"] == many["ids"][0]
    assert many == again
    assert [request.payload for request in api.backend.requests[1:3]] == [{"value": "org_1"}, {"value": "org_2"}]


def test_the_other_triggers_take_one_only(api: Api) -> None:
    problem(api.post("/trigger/ingest", {"items": [ECHO]}), 422, "invalid_request")


ODD_ITEMS: list[tuple[list[object], list[str]]] = [
    ([{"value": 1}, {"body": {}, "plan": 3}], ["body.items.1.plan"]),
    ([{"body": {}, "tenant": ""}], ["body.items.0.tenant"]),
    ([{"body": {}, "plan": "x" * 65}, {"body": {}, "plan": []}], ["body.items.0.plan"]),
]


@pytest.mark.parametrize(("items", "paths"), ODD_ITEMS)
def test_several_of_which_one_does_not_fit(api: Api, items: list[object], paths: list[str]) -> None:
    document = problem(api.post("/trigger/meter-org-documents", {"items": items}), 422, "invalid_request")
    assert [fault["path"] for fault in document["errors"]] == paths  # type: ignore[union-attr, index]
    assert api.world.objects == {}


def test_faults_of_payloads_say_where(api: Api) -> None:
    def paths(answer: httpx.Response) -> list[str]:
        return [fault["path"] for fault in problem(answer, 422, "invalid_payload")["errors"]]  # type: ignore[union-attr, index]

    payload = {"steps": -1}
    assert paths(api.post("/v1/jobs", {"workflow": "diagnostic-echo", "payload": payload})) == ["body.payload.steps"]
    batch = api.post("/v1/jobs/batch", {"items": [{"workflow": "diagnostic-echo", "payload": payload}]}).json()
    assert [fault["path"] for fault in batch["results"][0]["error"]["errors"]] == ["payload.steps"]


def test_a_batch_may_be_repeated(api: Api) -> None:
    items: list[object] = [ECHO, {**ECHO, "options": {"idempotency_key": "own"}}, ECHO]
    first, again = (api.post("/v1/jobs/batch", {"items": items}, idempotency_key="b") for _ in range(2))
    results = [(item["id"], item["deduplicated"]) for item in first.json()["results"]]
    assert [deduplicated for _, deduplicated in results] == [False] * 3
    assert [(item["id"], item["deduplicated"]) for item in again.json()["results"]] == [
        (id_, True) for id_, _ in results
    ]
    assert api.post("/v1/jobs", ECHO, idempotency_key="own").json()["id"] == results[1][0]
