"""Examples of bodies and answers, composed of the examples of their members: they cannot contradict the models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from durable.http.payloads import REF

Schema = Mapping[str, object]

_BY_TYPE: Mapping[str, object] = {"integer": 1, "number": 1, "boolean": True, "object": {}, "null": None}


def compose(schema: Schema, components: Mapping[str, Schema]) -> object:
    """Return an example of a JSON schema.

    A member that is not required shows only when it has an example of its own.

    Raises:
        LookupError: a text has no example, and none can be made up.
    """
    if "$ref" in schema:
        return compose(components[str(schema["$ref"]).removeprefix(REF)], components)
    for name in ("examples", "enum"):
        if name in schema:
            return cast("list[object]", schema[name])[0]
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    if "anyOf" in schema:
        kinds = cast("list[Schema]", schema["anyOf"])
        return compose(next((kind for kind in kinds if kind.get("type") != "null"), kinds[0]), components)
    if "properties" in schema:
        members = cast("dict[str, Schema]", schema["properties"])
        required = cast("list[str]", schema.get("required", []))
        shown = {name: value for name, value in members.items() if name in required or "examples" in value}
        return {name: compose(value, components) for name, value in shown.items()}
    if schema.get("type") == "array":
        return [compose(cast("Schema", schema["items"]), components)] if "items" in schema else []
    if "type" not in schema:
        return {}
    kind = str(schema["type"])
    if kind not in _BY_TYPE:
        raise LookupError(f"No example for {dict(schema)}")
    return _BY_TYPE[kind]
