"""The client's idea of the API is the API's own, as its OpenAPI document tells it."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Union, cast, get_args, get_origin, get_type_hints

import msgspec
import pytest

from orchestrator.client import AsyncClient, Client, answers, jobs, keys, operations, operator_answers, payloads
from orchestrator.client.blocking import call as blocking_call
from orchestrator.client.blocking import stream as blocking_stream
from orchestrator.client.nonblocking import call as awaited_call
from orchestrator.client.nonblocking import stream as awaited_stream
from tests.http.support import Api

Schema = dict[str, object]

#: Our names of the document's schemas.
NAMES = {
    "Accepted": "AcceptedOut",
    "Alert": "AlertOut",
    "Alerts": "AlertsOut",
    "ApiKey": "KeyOut",
    "AuditEntry": "AuditEntryOut",
    "AuditPage": "AuditOut",
    "Backfill": "BackfillOut",
    "Batch": "BatchOut",
    "BatchItem": "BatchItemOut",
    "Bulk": "BulkOut",
    "BulkItem": "BulkItemOut",
    "Cost": "CostOut",
    "CreatedKey": "NewKeyOut",
    "CurrentKey": "CurrentKeyOut",
    "DeadLetter": "DeadLetterOut",
    "DeadLetterPage": "DeadLettersOut",
    "Catalog": "CatalogOut",
    "Event": "EventOut",
    "EventAccepted": "EventAcceptedOut",
    "Events": "EventsOut",
    "Fault": "Fault",
    "Job": "JobOut",
    "JobError": "ErrorOut",
    "JobPage": "JobsOut",
    "JobSummary": "SummaryOut",
    "KeyPage": "KeysOut",
    "KeyLimit": "KeyLimitOut",
    "Lane": "LaneOut",
    "Lanes": "LanesOut",
    "Problem": "Problem",
    "Progress": "ProgressOut",
    "Rate": "RateOut",
    "Redriven": "RedrivenOut",
    "Schedule": "ScheduleOut",
    "ScheduleEvent": "ScheduleEventOut",
    "SchedulePage": "SchedulesOut",
    "ScheduleSummary": "ScheduleSummaryOut",
    "Shard": "ShardOut",
    "StatusChange": "StatusOut",
    "Step": "StepOut",
    "Steps": "StepsOut",
    "TokenCompleted": "TokenOut",
    "Triggered": "TriggerOut",
    "TriggeredMany": "TriggerManyOut",
    "Undelivered": "UndeliveredOut",
    "Wait": "WaitOut",
    "Workflow": "WorkflowOut",
    "Workflows": "WorkflowsOut",
}
PLAIN: dict[object, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
    datetime: "date-time",
}
STRUCTS = [
    item
    for item in {**vars(answers), **vars(operator_answers)}.values()
    if isinstance(item, type) and issubclass(item, msgspec.Struct)
]


@pytest.fixture(scope="module")
def schemas() -> dict[str, Schema]:
    return Api().get("/openapi.json").json()["components"]["schemas"]


def test_every_struct_is_compared() -> None:
    assert {item.__name__ for item in STRUCTS} == NAMES.keys()


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda item: item.__name__)
def test_members_are_those_of_the_document(struct: type[msgspec.Struct], schemas: dict[str, Schema]) -> None:
    properties = cast("dict[str, Schema]", schemas[NAMES[struct.__name__]]["properties"])
    ours = {name: shape(hint) for name, hint in get_type_hints(struct).items()}
    theirs = {name: shape_of(schema, schemas) for name, schema in properties.items()}
    assert ours == theirs


#: What callers send, and the members that calls take by other names, or in another place.
SENT: dict[str, tuple[Mapping[str, object], set[str]]] = {
    "OptionsIn": (get_type_hints(payloads.Options), set()),
    "IdempotencyIn": (get_type_hints(payloads.Idempotency), set()),
    "BudgetIn": (get_type_hints(payloads.Budget), set()),
    "JobFilterIn": (get_type_hints(jobs.JobFilter), set()),
    "LetterFilterIn": (get_type_hints(operations.LetterFilter), set()),
    "ScheduleIn": (get_type_hints(operations.NewSchedule), {"id", "workflow", "cron"}),
    "ScheduleChangeIn": (get_type_hints(operations.ScheduleChange), set()),
    "KeyIn": (inspect.signature(keys.create_key).parameters, set()),
}


@pytest.mark.parametrize("name", SENT)
def test_what_is_sent_is_what_the_document_asks_for(name: str, schemas: dict[str, Schema]) -> None:
    ours, apart = SENT[name]
    theirs = cast("dict[str, Schema]", schemas[name]["properties"])
    assert ours.keys() | apart == theirs.keys()
    choices = {member: set(get_args(hint)) for member, hint in ours.items() if get_origin(hint) is Literal}
    assert choices == {member: choices_of(theirs[member]) for member in choices}


def choices_of(schema: Schema) -> set[object]:
    """Return the members of an enumeration, which may be optional."""
    either = cast("list[Schema]", schema.get("anyOf", [schema]))
    return {choice for item in either for choice in cast("list[object]", item.get("enum", []))}


def shape(hint: object) -> str:
    """Return what JSON a type stands for, in short."""
    origin, inner = cast("object", get_origin(hint)), cast("tuple[object, ...]", get_args(hint))
    if origin is Union or origin is types.UnionType:
        return " | ".join(sorted(map(shape, inner)))
    if origin is list:
        return f"[{shape(inner[0])}]"
    if origin is dict:
        return f"{{{shape(inner[1])}}}"
    if isinstance(hint, type) and issubclass(cast("type[object]", hint), msgspec.Struct):
        return NAMES[hint.__name__]
    return PLAIN.get(hint, "any")


def shape_of(schema: Schema, schemas: dict[str, Schema]) -> str:
    """Return :func:`shape` of a schema; an enumeration is a string, since a newer server may have more members."""
    if "anyOf" in schema:
        return " | ".join(sorted(shape_of(item, schemas) for item in cast("list[Schema]", schema["anyOf"])))
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return "string" if "enum" in schemas[name] else name
    match schema.get("type"):
        case "array":
            return f"[{shape_of(cast('Schema', schema['items']), schemas)}]"
        case "object":
            members = schema.get("additionalProperties", True)
            return f"{{{'any' if members is True else shape_of(cast('Schema', members), schemas)}}}"
        case "string":
            return "date-time" if schema.get("format") == "date-time" else "string"
        case None:
            return "any"
        case kind:
            return str(kind)


def test_both_clients_have_the_same_methods() -> None:
    def methods(client: type[object], kinds: tuple[type[object], ...]) -> dict[str, tuple[int, str | None]]:
        found = {name: inspect.getattr_static(client, name) for name in dir(client)}
        return {
            name: (kinds.index(type(item)), item.__doc__) for name, item in found.items() if isinstance(item, kinds)
        }

    blocking = methods(Client, (blocking_call, blocking_stream))
    assert blocking == methods(AsyncClient, (awaited_call, awaited_stream))
    assert len(blocking) > 40
    assert all(text for _, text in blocking.values())


def test_every_operation_of_the_api_has_its_method() -> None:
    """Where the client has another name, or more than one call for an operation, it is told here."""
    elsewhere = {
        "control_jobs": "bulk",
        "create_job": "enqueue",
        "create_jobs": "enqueue_many",
        "export_job": "export",
        "get_health": "health",
        "get_job_events": "stream_events",
        "get_job_steps": "get_steps",
        "get_metrics": "metrics",
        "list_audit": "audit",
        "list_dead_letters": "dead_letters",
        "list_keys": "keys",
        "list_lanes": "lanes",
        "list_schedules": "schedules",
        "list_workflows": "workflows",
        "redrive_dead_letter": "redrive",
        "redrive_dead_letters": "redrive_many",
        **{f"{name}_job": name for name in ("cancel", "pause", "resume", "retry", "delete")},
    }
    not_for_programs = {"get_openapi"}
    paths: dict[str, dict[str, Schema]] = Api().get("/openapi.json").json()["paths"]
    operations = {str(item["operationId"]) for path in paths.values() for item in path.values()}
    triggers = {name for name in operations if name.startswith("trigger_")}  # compared in test_switch.py
    assert {elsewhere.get(name, name) for name in operations - triggers - not_for_programs} <= set(dir(Client))


def test_a_payload_without_a_json_form_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="object has no JSON form"):
        payloads.encode({"value": object()})
