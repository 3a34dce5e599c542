"""The payloads of workflows as JSON schemas, for the OpenAPI document and for callers who ask."""

from __future__ import annotations

from typing import cast

from orchestrator.workflow import Workflow

REF = "#/components/schemas/"


def schema_of(workflow: Workflow) -> dict[str, object]:
    """Return the JSON schema of a workflow's payload, by itself."""
    return workflow.payload_model.model_json_schema()


def component_name(workflow: str) -> str:
    """Return what a workflow's payload is called among the document's components."""
    return "".join(part.capitalize() for part in workflow.replace("_", "-").split("-")) + "Payload"


def components_of(workflow: Workflow) -> dict[str, object]:
    """Return a payload's schema and those it refers to as components, under names of the workflow's own."""
    name = component_name(workflow.name)
    schema = workflow.payload_model.model_json_schema(ref_template=f"{REF}{name}_{{model}}")
    parts = cast("dict[str, object]", schema.pop("$defs", {}))
    return {name: schema, **{f"{name}_{part}": value for part, value in parts.items()}}


def example_of(workflow: Workflow) -> object | None:
    """Return the payload that the model gives as its example; None when it gives none."""
    examples = schema_of(workflow).get("examples")
    return cast("list[object]", examples)[0] if isinstance(examples, list) and examples else None
