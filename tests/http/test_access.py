"""Every call of the document, whoever makes it: a new route is covered without being named here."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest

from durable.http.access import Scope
from orchestrator.errors import OrchestratorError
from tests.http.conformance import document_of
from tests.http.support import KEY, SECRET, Api, problem

DOCUMENT = document_of(Api().world.registry).schema
CALLS = [
    pytest.param(method.upper(), path, operation, id=operation["operationId"])
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
UNKNOWN_KEY = f"dok_{'0' * 26}_{'A' * 43}"
NOBODYS_JOB = "run_" + "0" * 26
Operation = dict[str, Any]


def scopes_of(operation: Operation) -> list[str]:
    return [scope for item in operation["security"] for scope in item.get("key", [])]


def takes_key(operation: Operation) -> bool:
    return any("key" in item for item in operation["security"])


def filled(path: str, operation: Operation, job_id: str) -> str:
    """Return a path with parameters: a job's, its dead letter's, or the document's examples."""
    values = {"job_id": job_id, "letter_id": f"job:{job_id}"}
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            value = values.get(parameter["name"]) or parameter["schema"]["examples"][0]
            path = path.replace(f"{{{parameter['name']}}}", value)
    return path


def body_about(operation: Operation, job_id: str) -> object:
    """Return the document's example of a body; one that may name things names the job."""
    media = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if media is None:
        return None
    examples = [item["value"] for item in media.get("examples", {}).values()]
    example = cast("dict[str, object]", (examples or [media["example"]])[0])
    if "filter" not in example:
        return example
    asked_for = f"job:{job_id}" if "redrive" in operation["operationId"] else job_id
    return {name: value for name, value in example.items() if name != "filter"} | {"ids": [asked_for]}


@pytest.mark.parametrize(("method", "path", "operation"), CALLS)
def test_nobody_gets_in_without_a_key(api: Api, method: str, path: str, operation: Operation) -> None:
    job_id = api.start("keep")
    path = filled(path, operation, job_id)
    for key in (None, "", "wrong", KEY[:-1], UNKNOWN_KEY, UNKNOWN_KEY[:-1], "Bearer " + KEY):
        answer = api.request(method, path, json=body_about(operation, job_id), key=key)
        if operation["security"] == []:
            assert answer.status_code == 200
        elif answer.status_code != 401:
            # A token's bearer is looked at only where there may be such a token.
            problem(answer, 404, "unknown_token")
            assert not takes_key(operation)
    assert api.backend.requests[1:] == []


@pytest.mark.parametrize(("method", "path", "operation"), CALLS)
def test_a_key_without_the_scope_is_refused(api: Api, method: str, path: str, operation: Operation) -> None:
    job_id = api.start("keep")
    others = [scope for scope in Scope if scope not in {*scopes_of(operation), Scope.ADMIN}]
    _, key = api.make_key(*others)
    path = filled(path, operation, job_id)
    answer = api.request(method, path, json=body_about(operation, job_id), key=key)
    if scopes_of(operation):
        document = problem(answer, 403, "missing_scope")
        assert [document["scope"]] == scopes_of(operation)
    elif takes_key(operation):
        assert answer.status_code == 200
    assert api.backend.requests[1:] == []


@pytest.mark.parametrize(("method", "path", "operation"), CALLS)
def test_a_key_with_just_the_scope_gets_in(api: Api, method: str, path: str, operation: Operation) -> None:
    job_id = api.start("stuck")
    for scopes in (scopes_of(operation) or ["read"], ["admin"]):
        _, key = api.make_key(*scopes)
        answer = api.request(
            method,
            filled(path, operation, job_id),
            json=body_about(operation, job_id),
            key=key,
            headers={"accept": "application/json"},
        )
        if takes_key(operation):
            assert answer.status_code not in {401, 403}, answer.text


#: What a key may be restricted to, and a job that is not within.
RESTRICTIONS = [
    pytest.param({"tenant": "t2"}, "diagnostic-echo", {"tenant": "t1"}, id="another tenant's"),
    pytest.param({"tenant": "t2"}, "diagnostic-echo", {}, id="nobody's"),
    pytest.param({"workflows": ["keep"]}, "diagnostic-echo", {"tenant": "t1"}, id="of another workflow"),
    pytest.param({"tenant": "t1", "workflows": ["keep"]}, "diagnostic-echo", {"tenant": "t1"}, id="of both"),
]


@pytest.mark.parametrize(("restriction", "workflow", "options"), RESTRICTIONS)
def test_what_a_key_may_not_see_does_not_exist_for_it(
    restriction: dict[str, object], workflow: str, options: dict[str, object]
) -> None:
    """Each call is answered as if the job had never been; afterwards its journal is what it was."""
    api = Api()
    payload = {"steps": 1, "fail_at": 1}
    victim = api.start(workflow, payload, tags=["shared"], idempotency_key="k", **options)
    api.run()
    before = journal(api, victim)
    _, key = api.make_key("enqueue", "read", "operate", **restriction)

    def ask(method: str, path: str, body: object) -> tuple[int, str]:
        answer = api.request(method, path, json=body, key=key, headers={"accept": "application/json"})
        return answer.status_code, answer.text

    for method, path, operation in (cast("tuple[str, str, Operation]", call.values) for call in CALLS):
        if not takes_key(operation):
            continue
        answers = [
            ask(method, filled(path, operation, job_id), body_about(operation, job_id))
            for job_id in (victim, NOBODYS_JOB)
        ]
        about_job = "job_id" in path or "letter_id" in path
        assert not about_job or answers[0][0] == 404, (path, answers)
        assert faceless(answers[0][1]) == faceless(answers[1][1]), path
        named = victim in str(body_about(operation, victim))
        assert named or victim not in answers[0][1], path
    for query in ("", "?tag=shared", "?status=failed", f"?workflow={workflow}"):
        assert victim not in ask("GET", f"/v1/jobs{query}", None)[1]
    filters = {"tag": "shared"}
    ask("POST", "/v1/jobs/bulk", {"action": "retry", "filter": filters})
    ask("POST", "/v1/jobs/bulk", {"action": "delete", "filter": filters})
    ask("POST", "/v1/dead-letters/redrive", {"filter": {"kind": "job"}})
    assert journal(api, victim) == before


def journal(api: Api, job_id: str) -> dict[str, Any]:
    """Return everything that is stored of a job but what it costs to look at it."""
    stored = api.get(f"/v1/jobs/{job_id}/export").json()
    del stored["job"]["account"]
    return stored


def faceless(text: str) -> str:
    """Return an answer without the ids of jobs in it: those of new ones differ anyway."""
    return re.sub(r"run_[0-9a-z]{26}|sch_[0-9a-z]{26}", "ID", text)


def test_a_tenants_own_jobs_are_its_own(api: Api) -> None:
    _, key = api.make_key("enqueue", "read", "operate", tenant="t1")
    body = {"workflow": "keep", "payload": {}, "options": {"idempotency_key": "k"}}
    made = api.request("POST", "/v1/jobs", json=body, key=key).json()["id"]
    again = api.post("/v1/jobs", {**body, "options": {"idempotency_key": "k", "tenant": "t1"}}).json()
    assert (again["id"], again["deduplicated"]) == (made, True)
    assert api.request("GET", f"/v1/jobs/{made}", key=key).json()["tenant"] == "t1"
    api.run()
    listed = api.request("GET", "/v1/jobs", key=key).json()["jobs"]
    assert [job["id"] for job in listed] == [made]
    assert api.request("DELETE", f"/v1/jobs/{made}", key=key).status_code == 204


def test_a_tenant_cannot_speak_for_another(api: Api) -> None:
    _, key = api.make_key("enqueue", "read", tenant="t1")
    body = {"workflow": "keep", "payload": {}, "options": {"tenant": "t2"}}
    problem(api.request("POST", "/v1/jobs", json=body, key=key), 403, "foreign_tenant")
    batch = api.request("POST", "/v1/jobs/batch", json={"items": [body]}, key=key).json()
    assert batch["results"][0]["error"]["code"] == "foreign_tenant"
    trigger: dict[str, object] = {"body": {}, "tenant": "t2"}
    problem(api.request("POST", "/trigger/ingest", json=trigger, key=key), 403, "foreign_tenant")
    problem(api.request("GET", "/v1/jobs?tenant=t2", key=key), 403, "foreign_tenant")
    assert api.backend.requests == []


def test_a_key_for_workflows_is_for_no_other(api: Api) -> None:
    _, key = api.make_key("enqueue", "read", workflows=["keep"])
    body: dict[str, object] = {"workflow": "diagnostic-echo", "payload": {}}
    problem(api.request("POST", "/v1/jobs", json=body, key=key), 403, "foreign_workflow")
    problem(api.request("POST", "/trigger/ingest", json={"body": {}}, key=key), 403, "foreign_workflow")
    assert api.request("POST", "/v1/jobs", json={"workflow": "keep", "payload": {}}, key=key).status_code == 202
    listed = api.request("GET", "/v1/workflows", key=key).json()["workflows"]
    assert [item["name"] for item in listed] == ["keep"]


def test_a_tenant_does_not_take_anothers_place_in_the_lanes(api: Api) -> None:
    _, key = api.make_key("enqueue", tenant="t1", lane_keys={"organization": "t1"}, max_priority=10)
    options = {"lane_keys": {"organization": "t2", "other": "x"}, "priority": 1_000}
    body = {"workflow": "keep", "payload": {}, "options": options}
    api.request("POST", "/v1/jobs", json=body, key=key)
    api.request("POST", "/trigger/ingest", json={"body": {}, "plan": "pro"}, key=key)
    asked = [(request.options.lane_keys, request.options.priority) for request in api.backend.requests]
    assert asked == [({"organization": "t1"}, 10)] * 2


def marked(value: object) -> object:
    """Return a body all of whose free texts are a secret."""
    if isinstance(value, dict):
        fixed = {"workflow", "action", "kind", "status", "scopes", "cron", "time_zone", "from", "to", "mode", "ids"}
        members = cast("dict[str, object]", value).items()
        return {name: item if name in fixed else marked(item) for name, item in members}
    if isinstance(value, list):
        return [marked(item) for item in cast("list[object]", value)]
    return SECRET if isinstance(value, str) else value


@pytest.mark.parametrize("failing", [False, True])
def test_nothing_that_callers_send_is_logged(failing: bool) -> None:
    """Neither bodies nor keys, whether a call is fine, refused or crashes."""
    api = Api()
    _, key = api.make_key("admin")
    methods = ("create", "view", "events", "export", "control", "enqueue")
    for method, path, operation in (cast("tuple[str, str, Operation]", call.values) for call in CALLS):
        job_id = api.start("keep", {"value": SECRET})
        if failing:
            api.backend.failures = {name: [OrchestratorError("an internal matter")] for name in methods}
        for body in (marked(body_about(operation, job_id)), {"value": SECRET}, [SECRET]):
            api.request(method, filled(path, operation, job_id), json=body, key=key)
            api.request(method, filled(path, operation, job_id), json=body, key=SECRET)
        api.backend.failures = {}
    assert len(api.logs) > 10
    assert SECRET not in str(api.logs)
    assert key not in str(api.logs)
    assert KEY not in str(api.logs)
