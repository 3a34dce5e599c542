"""The OpenAPI document: what the framework knows of the routes, and what it does not.

Added here are who may call, every refusal with its code, the payloads of the workflows, and an example of every body
and answer, composed of the examples of its members.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, cast

from fastapi import FastAPI

from durable.http import refusals
from durable.http.access import Access, access_named
from durable.http.examples import compose
from durable.http.payloads import REF, component_name, components_of, example_of
from durable.http.problems import MEDIA_TYPE, Problem, problem_document
from durable.http.refusals import Refusal
from durable.http.triggers import WORKFLOWS
from orchestrator.workflow import Registry

_JSON = "application/json"
#: Statuses whose answers say when to come back.
_RETRIED = (429, 503)


def document(app: FastAPI, registry: Registry) -> dict[str, Any]:
    """Return the document of an application whose jobs are of these workflows."""
    kept = getattr(app.state, "document", None)
    if kept is not None and kept[0] is registry:
        return kept[1]
    schema = copy.deepcopy(app.openapi())
    schemas = schema["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template=REF + "{model}")
    schemas |= {**problem.pop("$defs"), "Problem": problem}
    for workflow in registry:
        schemas |= components_of(workflow)
    _type_triggers(schema, registry)
    shared: dict[str, Any] = {}
    for method, operation in operations_of(schema):
        access = access_named(operation["operationId"])
        _say_who(operation, access)
        found = refusals_of(
            access, posts=method != "get", has_body="requestBody" in operation, has_parameters="parameters" in operation
        )
        _say_refusals(operation, found, shared)
        _give_examples(operation, schemas)
    schema["components"]["responses"] = shared
    _name_workflows(schema["paths"]["/v1/jobs"]["post"], registry)
    schema["components"]["examples"] = {
        code: {"value": problem_document(refusal.status, code, refusal.text)} for code, refusal in refusals.ALL.items()
    }
    schema["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key; its roles are the scopes it needs"},
        "token": {"type": "http", "scheme": "bearer", "description": "The access token that came with the token"},
    }
    schema["security"] = [{"key": []}]
    app.state.document = (registry, schema)
    return schema


def operations_of(schema: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the operations of a document, each with its method."""
    for path in schema["paths"].values():
        yield from path.items()


def refusals_of(access: Access, *, posts: bool, has_body: bool, has_parameters: bool) -> dict[str, Refusal]:
    """Return what a call may be refused with, by code."""
    found = dict(refusals.ANYWHERE)
    if access.by != "nothing":
        found |= refusals.WITH_KEY
    if access.by == "token" or access.scope is None:
        found.pop("missing_scope", None)
    if access.shared:
        found |= refusals.SHARED
    if posts:
        found |= refusals.WITH_ANY_BODY
    if has_body:
        found |= refusals.WITH_BODY
    if has_parameters:
        found |= refusals.WITH_PARAMETERS
    return found | {code: refusals.OWN[code] for code in access.codes}


def _say_who(operation: dict[str, Any], access: Access) -> None:
    scopes = [] if access.scope is None else [access.scope.value]
    operation["security"] = {"nothing": [], "key": [{"key": scopes}], "token": [{"token": []}]}[access.by]
    if access.scope is not None:
        tail = ", without a restriction to a tenant or to workflows" if access.shared else ""
        text = operation.get("description", "")
        operation["description"] = f"{text}\n\nNeeds a key with the scope `{access.scope}`{tail}.".strip()


def _say_refusals(operation: dict[str, Any], found: Mapping[str, Refusal], shared: dict[str, Any]) -> None:
    """Name an operation's refusals; the same ones are described once for all operations."""
    responses = {status: value for status, value in operation["responses"].items() if int(status) < 400}
    by_status: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for code, refusal in found.items():
        by_status[refusal.status][code] = refusal.text
    for status in sorted(by_status):
        name = "_or_".join(sorted(by_status[status]))
        shared.setdefault(name, _refused(status, by_status[status]))
        responses[str(status)] = {"$ref": f"#/components/responses/{name}"}
    operation["responses"] = responses


def _refused(status: int, codes: Mapping[str, str]) -> dict[str, Any]:
    content = {
        "schema": {"$ref": REF + "Problem"},
        "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
    }
    response: dict[str, Any] = {
        "description": "\n".join(f"- `{code}`: {text}" for code, text in codes.items()),
        "content": {MEDIA_TYPE: content},
    }
    if status in _RETRIED:
        response["headers"] = {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}}
    return response


def _give_examples(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    contents = [operation.get("requestBody", {}).get("content", {})]
    contents += [value.get("content", {}) for status, value in operation["responses"].items() if int(status) < 400]
    for content in contents:
        media = content.get(_JSON)
        if media is not None:
            with suppress(LookupError):  # a payload's author has given none
                media["example"] = compose(media["schema"], schemas)


def _name_workflows(operation: dict[str, Any], registry: Registry) -> None:
    """Show one body for each workflow that has an example payload."""
    media = operation["requestBody"]["content"][_JSON]
    found = {item.name: example for item in registry if (example := example_of(item)) is not None}
    if found:
        media.pop("example", None)
        media["examples"] = {
            name: {"value": {"workflow": name, "payload": payload}} for name, payload in sorted(found.items())
        }


def _type_triggers(schema: dict[str, Any], registry: Registry) -> None:
    """Say of each trigger what its body is, where its workflow is deployed."""
    schemas = schema["components"]["schemas"]
    deployed = {item.name for item in registry}
    for name, workflow in WORKFLOWS.items():
        if workflow not in deployed:
            continue
        media = schema["paths"][f"/trigger/{name}"]["post"]["requestBody"]["content"][_JSON]
        payload = {"$ref": REF + component_name(workflow)}
        single = _typed(schemas["TriggerIn"], "body", payload)
        title = component_name(workflow).removesuffix("Payload") + "In"
        schemas[title] = {**single, "title": title}
        single_ref = {"$ref": REF + title}
        if "anyOf" not in media["schema"]:
            media["schema"] = single_ref
            continue
        items = {**schemas["TriggerManyIn"]["properties"]["items"], "items": {"anyOf": [payload, single_ref]}}
        many = _typed(schemas["TriggerManyIn"], "items", items)
        schemas[title.removesuffix("In") + "ManyIn"] = {**many, "title": title.removesuffix("In") + "ManyIn"}
        media["schema"] = {"anyOf": [single_ref, {"$ref": REF + title.removesuffix("In") + "ManyIn"}]}


def _typed(model: Mapping[str, Any], member: str, schema: object) -> dict[str, Any]:
    """Return a model's schema with another schema of one member."""
    known = cast("dict[str, Any]", model["properties"])
    return {**model, "properties": {**known, member: schema}}
