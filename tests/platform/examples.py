"""A payload for any workflow: the example its model gives, or the smallest value that its schema allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec

from orchestrator.workflow import Workflow

Schema = Mapping[str, object]


def example_of(workflow: Workflow) -> dict[str, object]:
    """Return a payload that fits the workflow.

    Raises:
        LookupError: the model gives no example, and none could be made from its schema.
    """
    schema = cast("Schema", workflow.payload_model.model_json_schema())
    given = msgspec.convert(schema.get("examples", []), list[object])
    found = msgspec.convert(given[0] if given else smallest(schema, schema), dict[str, object])
    workflow.parse(found)
    return found


def smallest(schema: Schema, root: Schema) -> object:
    """Return a small value that fits a JSON schema as pydantic writes them."""
    if "default" in schema or "const" in schema:
        return schema.get("default", schema.get("const"))
    if reference := schema.get("$ref"):
        definitions = cast("Mapping[str, Schema]", root["$defs"])
        return smallest(definitions[str(reference).rpartition("/")[2]], root)
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return smallest(cast("list[Schema]", choices)[0], root)
    if options := schema.get("enum"):
        return cast("list[object]", options)[0]
    match schema.get("type"):
        case "object":
            fields = cast("Mapping[str, Schema]", schema.get("properties", {}))
            required = cast("list[str]", schema.get("required", []))
            return {name: smallest(fields[name], root) for name in required}
        case "array":
            count = msgspec.convert(schema.get("minItems", 0), int)
            return [smallest(cast("Schema", schema["items"]), root) for _ in range(count)]
        case "string":
            return "x" * max(1, msgspec.convert(schema.get("minLength", 1), int))
        case "integer" | "number":
            # Not the smallest of all: a loop over nothing has no crash points.
            return max(3, msgspec.convert(schema.get("minimum", 0), int))
        case "boolean":
            return False
        case kind:
            raise LookupError(f"give the payload model an example (json_schema_extra): no value for {kind!r}")
