"""The OpenAPI document, which is what clients are generated from."""

from __future__ import annotations

import re
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from durable.http import openapi, refusals, triggers
from durable.http.access import Scope
from durable.http.app import create_app
from durable.workflows import registry
from tests.http.support import Api, inner_of

PROBLEM = "application/problem+json"
#: What the platform's own code calls; a generated client's names must not change under it.
STABLE = {
    "create_job", "create_jobs", "get_job", "get_job_steps", "get_job_events", "list_jobs", "control_jobs",
    "cancel_job", "pause_job", "resume_job", "retry_job", "delete_job", "export_job", "send_event", "complete_token",
    "trigger_ingest", "trigger_re_ingest", "trigger_delete_document", "trigger_delete_ingest_job",
    "trigger_delete_namespace", "trigger_delete_organization", "trigger_meter_org_documents",
    "list_dead_letters", "redrive_dead_letter", "redrive_dead_letters", "list_lanes", "get_lane", "pause_lane",
    "resume_lane", "list_schedules", "create_schedule", "get_schedule", "change_schedule", "delete_schedule",
    "pause_schedule", "resume_schedule", "run_schedule", "backfill_schedule", "list_workflows", "get_health",
    "get_metrics", "get_openapi",
}  # fmt: skip


@pytest.fixture(scope="module", params=["workflows of the tests", "workflows of the platform"])
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    known = Api().world.registry if request.param == "workflows of the tests" else registry()
    # As callers get it.
    return msgspec.json.decode(msgspec.json.encode(openapi.document(create_app().app, known)))


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(method, operation) for path in document["paths"].values() for method, operation in path.items()]


def test_names_of_calls_are_stable_and_unique(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(names)) == len(names)
    assert set(names) >= STABLE
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", name) for name in names)


def test_every_operation_says_what_it_does_and_what_it_refuses(document: dict[str, Any]) -> None:
    for method, operation in operations(document):
        name = operation["operationId"]
        assert operation["summary"], name
        assert set(operation["tags"]) <= {tag["name"] for tag in document["tags"]}, name
        assert operation["description"], name
        statuses = set(operation["responses"])
        assert {"414", "431", "500"} <= statuses, name
        if operation["security"]:
            assert {"401", "429", "503"} <= statuses, name
        if method != "get":
            assert {"400", "413", "415"} <= statuses, name
        if "parameters" in operation or "requestBody" in operation:
            assert "422" in statuses, name


def test_every_refusal_lists_its_codes(document: dict[str, Any]) -> None:
    for response in document["components"]["responses"].values():
        content = response["content"][PROBLEM]
        assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
        assert content["examples"].keys() <= refusals.ALL.keys()
        assert all(f"`{code}`" in response["description"] for code in content["examples"])
    examples = document["components"]["examples"]
    assert {name: (item["value"]["code"], item["value"]["status"]) for name, item in examples.items()} == {
        code: (code, refusal.status) for code, refusal in refusals.ALL.items()
    }


def test_every_body_and_answer_has_an_example_that_fits(document: dict[str, Any]) -> None:
    checked = 0
    #: Whose payload model gives no example.
    unexampled = {f"trigger_{name.replace('-', '_')}" for name in triggers.WORKFLOWS}
    for _, operation in operations(document):
        contents = [operation.get("requestBody", {}).get("content", {})]
        contents += [response.get("content", {}) for response in operation["responses"].values()]
        for content in contents:
            media = content.get("application/json")
            if media is None:
                continue
            examples = [item["value"] for item in media.get("examples", {}).values()]
            if not examples and operation["operationId"] in unexampled:
                continue
            examples = examples or [media["example"]]
            schema = {**media["schema"], "components": document["components"]}
            for example in examples:
                jsonschema_rs.Draft202012Validator(schema).validate(example)
                checked += 1
    assert checked > 40


def test_the_document_says_which_key_a_call_needs(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert {name: (item["type"], item["scheme"]) for name, item in schemes.items()} == {
        "key": ("http", "bearer"),
        "token": ("http", "bearer"),
    }
    needed = {operation["operationId"]: operation["security"] for _, operation in operations(document)}
    assert [name for name, security in needed.items() if security == []] == ["get_health"]
    assert [name for name, security in needed.items() if security == [{"token": []}]] == ["complete_token"]
    assert needed["create_job"] == [{"key": ["enqueue"]}]
    assert needed["cancel_job"] == [{"key": ["operate"]}]
    scopes = {scope for security in needed.values() for item in security for scope in item.get("key", [])}
    assert scopes <= set(Scope)


def test_the_payloads_of_workflows_are_described(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["DiagnosticEchoPayload"]["properties"].keys() >= {"steps", "sleep_ms"}
    body = document["paths"]["/trigger/ingest"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/TriggerIngestionJobIn"}
    assert schemas["TriggerIngestionJobIn"]["properties"]["body"] == {
        "$ref": "#/components/schemas/TriggerIngestionJobPayload"
    }


def test_the_workflows_are_listed_with_their_payloads(api: Api) -> None:
    listed = api.get("/v1/workflows").json()["workflows"]
    assert [item["name"] for item in listed] == sorted(item.name for item in api.world.registry)
    echo = next(item for item in listed if item["name"] == "diagnostic-echo")
    assert "steps" in echo["payload_schema"]["properties"]


def references(value: object) -> set[str]:
    if isinstance(value, str):
        return {value} if value.startswith("#/") else set()
    found: set[str] = set()
    return found.union(*(references(item) for item in inner_of(value) or []))


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    names = {f"#/components/{kind}/{name}" for kind, items in document["components"].items() for name in items}
    assert references(document) <= names
