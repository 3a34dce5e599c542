"""Every answer that a test gets is held to the OpenAPI document: its status, its code, its schema."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import jsonschema_rs

from durable.http.app import create_app
from durable.http.openapi import document
from orchestrator.workflow import Registry

PROBLEM = "application/problem+json"


class Document:
    """The document of an application with some workflows.

    Args:
        registry: the workflows.
    """

    def __init__(self, registry: Registry) -> None:
        self.schema = document(create_app().app, registry)
        self._operations = [
            (method.upper(), _form(path), operation)
            for path, methods in self.schema["paths"].items()
            for method, operation in methods.items()
        ]
        self._validators: dict[str, jsonschema_rs.Validator] = {}

    def operation(self, method: str, path: str) -> dict[str, Any] | None:
        """Return the operation that a path means; None when the document knows none."""
        fitting = [
            (form.pattern, found) for name, form, found in self._operations if name == method and form.fullmatch(path)
        ]
        # Of several the one with the fewest parameters, as the router has it.
        return min(fitting, key=lambda item: item[0].count("+"))[1] if fitting else None

    def check(self, method: str, path: str, answer: httpx.Response) -> None:
        """Assert that an answer is one that the document promises."""
        operation = self.operation(method, path)
        if operation is None and method == "OPTIONS" and answer.status_code == 204:
            return
        if operation is None:
            assert 400 <= answer.status_code < 500 or answer.status_code == 503, (method, path, answer.text)
            return
        where = f"{operation['operationId']} answered {answer.status_code}: {answer.text[:300]}"
        assert str(answer.status_code) in operation["responses"], where
        response = self._resolved(operation["responses"][str(answer.status_code)])
        promised = {name.lower() for name in response.get("headers", {})}
        assert {name for name in ("location", "etag", "retry-after") if name in answer.headers} == promised, where
        if answer.status_code >= 400:
            self._check_problem(response, answer, where)
        elif answer.headers.get("content-type") == "application/json":
            schema = response["content"]["application/json"]["schema"]
            assert answer.is_success
            self._validator(schema).validate(json.loads(answer.content))

    def _check_problem(self, response: dict[str, Any], answer: httpx.Response, where: str) -> None:
        assert answer.headers["content-type"] == PROBLEM, where
        body = answer.json()
        assert body["code"] in response["content"][PROBLEM]["examples"], where
        assert body["status"] == answer.status_code, where
        self._validator(response["content"][PROBLEM]["schema"]).validate(body)

    def _resolved(self, response: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in response:
            return response
        return self.schema["components"]["responses"][response["$ref"].rpartition("/")[2]]

    def _validator(self, schema: dict[str, Any]) -> jsonschema_rs.Validator:
        key = json.dumps(schema)
        if key not in self._validators:
            whole = {**schema, "components": {"schemas": self.schema["components"]["schemas"]}}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole)
        return self._validators[key]


def _form(path: str) -> re.Pattern[str]:
    """Return what the paths of a template look like; names of lanes hold slashes."""
    anything = ".+" if path.startswith("/v1/lanes/") else "[^/]+"
    return re.compile(re.sub(r"\{[^}]+\}", anything, path))


_known: dict[tuple[str, ...], Document] = {}


def document_of(registry: Registry) -> Document:
    """Return the document of these workflows, made once for each set of names."""
    names = tuple(sorted(item.name for item in registry))
    if names not in _known:
        _known[names] = Document(registry)
    return _known[names]
