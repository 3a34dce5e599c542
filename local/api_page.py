"""``python -m local.api_page``: writes ``docs/api.md`` from the OpenAPI document."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from durable.http import refusals
from durable.http.app import create_app
from durable.http.openapi import document
from durable.http.payloads import REF
from orchestrator.workflow import Registry

PAGE = Path(__file__).resolve().parent.parent / "docs" / "api.md"
_JSON = "application/json"
_WIDTH = 110
_FORMATS = {"date-time": "time"}
_PROBLEM = "application/problem+json"
#: A part of the document.
Part = dict[str, Any]
#: Refusals that any call may answer, described once.
_GENERAL = {*refusals.ANYWHERE, *refusals.WITH_KEY, *refusals.WITH_ANY_BODY, *refusals.WITH_BODY, *refusals.SHARED}
_INTRODUCTION = """\
# The HTTP API

Generated from the OpenAPI document by `python -m local.api_page`; a test keeps them together. `GET /openapi.json` is
that document for the workflows that are deployed, their payloads included; clients are generated from it. The headings
of calls are operation ids, which do not change within version 1.

Every call but `get_health` needs a key, `Authorization: Bearer …`: the deployment's own, or one that
[`create_key`](#create_key) made, with the scope that the call names. [security.md](security.md) says what keys see.

- **Refusals** are problem documents (RFC 9457, `application/problem+json`) with a stable `code`, and `errors` with the
  path of each fault where a request does not fit.
- **Repeating** a call is safe: with an `Idempotency-Key` where something is recorded, and anyway everywhere else.
- **Lists** answer `next_cursor` while there is more; hand it back as `cursor`.
- **Looking again** costs little: `If-None-Match` with the last `ETag` is answered 304 while nothing has changed.
- **Times** are ISO 8601 in UTC with milliseconds. Durations are seconds or ISO 8601.
- **Every answer** carries `X-Request-Id`, which log lines and the audit log name, too.
"""


def page() -> str:
    """Return the page. It describes no payloads: they are the workflows' own, and change with them."""
    schema = document(create_app().app, Registry([]))
    return "\n".join([_INTRODUCTION, *_general(), *_calls(schema), *_values(schema)]).rstrip() + "\n"


def _general() -> Iterator[str]:
    yield "## Refusals of any call"
    yield ""
    yield "| status | code | meaning |"
    yield "|---|---|---|"
    for code in sorted(_GENERAL, key=lambda code: (refusals.ALL[code].status, code)):
        yield f"| {refusals.ALL[code].status} | `{code}` | {refusals.ALL[code].text} |"
    yield ""


def _calls(schema: Part) -> Iterator[str]:
    by_tag: defaultdict[str, list[tuple[str, Part]]] = defaultdict(list)
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            by_tag[operation["tags"][0]].append((f"{method.upper()} {path}", operation))
    for tag in schema["tags"]:
        calls = by_tag.pop(tag["name"])
        yield f"## {tag['name'].capitalize()}"
        yield ""
        yield tag["description"]
        yield ""
        for line, operation in calls:
            yield from _call(line, operation, schema["components"]["responses"])


def _call(line: str, operation: Part, shared: Part) -> Iterator[str]:
    yield f"### {operation['operationId']}"
    yield ""
    yield f"`{line}`"
    yield ""
    yield operation["description"]
    yield ""
    yield from _parameters(operation.get("parameters", []))
    if "requestBody" in operation:
        media = operation["requestBody"]["content"][_JSON]
        yield f"Body: {_type(media['schema'])}"
        yield ""
        yield from _example(media)
    for status, response in operation["responses"].items():
        if int(status) < 400:
            yield from _success(status, response)
    yield from _refusals(operation["responses"], shared)


def _parameters(parameters: list[Part]) -> Iterator[str]:
    if not parameters:
        return
    yield "| parameter | in | type | |"
    yield "|---|---|---|---|"
    for item in parameters:
        place = item["in"] + (", required" if item.get("required") and item["in"] != "path" else "")
        about = _about({**item["schema"], **item})
        kind = _type(item["schema"]).removesuffix(" or null")
        yield f"| `{item['name']}` | {place} | {kind} | {about} |"
    yield ""


def _success(status: str, response: Part) -> Iterator[str]:
    content: Part = response.get("content", {})
    kinds = [_type(media["schema"]) if kind == _JSON else f"`{kind}`" for kind, media in content.items()]
    headers = "".join(f", `{name}`" for name in response.get("headers", {}))
    yield f"**{status}**: {' or '.join(kinds) or response['description']}{headers}"
    yield ""
    yield from _example(content.get(_JSON, {}))


def _refusals(responses: Part, shared: Part) -> Iterator[str]:
    found = [
        f"`{code}` ({status})"
        for status, response in responses.items()
        if int(status) >= 400
        for code in shared[response["$ref"].rpartition("/")[2]]["content"][_PROBLEM]["examples"]
        if code not in _GENERAL
    ]
    if found:
        yield f"Refusals of its own: {', '.join(found)}."
        yield ""


def _example(media: Part) -> Iterator[str]:
    if media.get("example"):
        yield "```json"
        yield _json(media["example"])
        yield "```"
        yield ""


def _json(value: object, indent: str = "") -> str:
    """Return JSON that is broken into lines only where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(text) <= _WIDTH or not isinstance(value, dict | list):
        return text
    inner = indent + "  "
    if isinstance(value, dict):
        members = cast("dict[str, object]", value).items()
        lines = [f"{json.dumps(name)}: {_json(item, inner)}" for name, item in members]
    else:
        lines = [_json(item, inner) for item in cast("list[object]", value)]
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    return f"{opening}\n" + ",\n".join(inner + line for line in lines) + f"\n{indent}{closing}"


def _values(schema: Part) -> Iterator[str]:
    yield "## Values"
    yield ""
    for name, model in sorted(schema["components"]["schemas"].items()):
        yield f"### {name}"
        yield ""
        yield model.get("description", "").replace("``", "`")
        yield ""
        if "properties" not in model:
            yield _type(model)
            yield ""
            continue
        yield "| member | type | |"
        yield "|---|---|---|"
        for member, value in model["properties"].items():
            required = ", required" if member in model.get("required", []) and name.endswith("In") else ""
            yield f"| `{member}` | {_type(value)}{required} | {_about(value)} |"
        yield ""


def _about(part: Part) -> str:
    """Return a description that fits a cell, with the default."""
    text = part.get("description", "").replace("\n", " ").replace("|", "\\|")
    default = part.get("default")
    shown = "" if default in (None, "", [], {}) else f"default `{json.dumps(default)}`"
    return "; ".join(piece for piece in (text, shown) if piece)


def _type(schema: Part) -> str:
    """Return a schema's type in words."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(REF)
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_type, schema["anyOf"])))
    if "enum" in schema:
        return " or ".join(f"`{item}`" for item in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "format" in schema:
        form: str = schema["format"]
        return _FORMATS.get(form, form)
    kind: str = schema.get("type", "any JSON")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return {"string": "text", "boolean": "true or false"}.get(kind, kind)


if __name__ == "__main__":
    PAGE.write_text(page())
