"""The OpenAPI document against the real workerd: whatever fits it or nearly does, every answer is one that it promises.

``make fuzz`` runs this for long; the suite takes a few examples of each operation, the same ones every time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis import checks as general_checks
from schemathesis.specs.openapi import checks as openapi_checks

from durable.http.app import create_app
from durable.http.openapi import document
from durable.workflows import registry
from local.process import LocalStack, wait_until

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "8"))
IN_SUITE = "FUZZ_EXAMPLES" not in os.environ
DOCUMENT = document(create_app().app, registry())
SCHEMA: Any = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = {
    operation["operationId"]: (path, method)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
#: What has neither parameters nor a body cannot be asked wrongly.
CASES = [
    pytest.param(name, mode, id=f"{name}-{'fitting' if mode is GenerationMode.POSITIVE else 'unfitting'}")
    for name, (path, method) in OPERATIONS.items()
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or {"parameters", "requestBody"} & DOCUMENT["paths"][path][method].keys()
]
_general: Any = general_checks
_openapi: Any = openapi_checks
CHECKS: list[Any] = [
    _general.not_a_server_error,
    _openapi.status_code_conformance,
    _openapi.content_type_conformance,
    _openapi.response_headers_conformance,
    _openapi.response_schema_conformance,
]


class Scene:
    """A running stack with some jobs in different states, and a way to talk to it."""

    def __init__(self, stack: LocalStack) -> None:
        self.url = stack.url
        self.session = requests.Session()  # what the fuzzer sends with
        self.headers = {"authorization": f"Bearer {stack.api_key}", "accept": "application/json"}
        echo: dict[str, Any] = {"workflow": "diagnostic-echo", "payload": {"steps": 2}}
        failing: dict[str, Any] = {"workflow": "diagnostic-echo", "payload": {"steps": 2, "fail_at": 2}}
        bodies = [echo, failing, {**echo, "options": {"delay": 86_400}}, {**echo, "options": {"delay": 86_400}}]
        self.jobs = [str(self.call("POST", "/v1/jobs", body)["id"]) for body in bodies]
        self.call("POST", f"/v1/jobs/{self.jobs[3]}/pause")
        schedule = {"id": "fuzzed", "workflow": "diagnostic-echo", "cron": "0 0 1 1 *"}
        self.call("POST", "/v1/schedules", schedule)
        self.names: dict[str, list[str]] = {
            "job_id": self.jobs,
            "letter_id": [f"job:{job_id}" for job_id in self.jobs],
            "schedule_id": ["fuzzed"],
            "key_id": [str(self.call("POST", "/v1/keys", {"name": "fuzzed", "scopes": ["read"]})["id"])],
        }
        wait_until(lambda: self.call("GET", f"/v1/jobs/{self.jobs[1]}")["status"] == "failed", timeout_s=60)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self.session.request(method, self.url + path, json=body, headers=self.headers, timeout=30)
        answer.raise_for_status()
        return answer.json()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with LocalStack(tmp_path_factory.mktemp("fuzz"), arguments=["--no-services"]) as stack:
        scene = Scene(stack)
        yield scene
        scene.session.close()


def test_the_stack_serves_this_document(scene: Scene) -> None:
    assert scene.call("GET", "/openapi.json")["paths"].keys() == DOCUMENT["paths"].keys()


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_every_answer_is_as_documented(scene: Scene, name: str, mode: GenerationMode) -> None:
    path, method = OPERATIONS[name]

    @given(case=SCHEMA[path][method].as_strategy(generation_mode=mode), pick=st.integers(0, 7))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=IN_SUITE,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    def ask(case: Any, pick: int) -> None:
        for parameter, values in scene.names.items():
            if parameter in (case.path_parameters or {}) and pick < len(values):
                case.path_parameters[parameter] = values[pick]
        if name == "get_job_events":
            case.headers = {"accept": "application/json"}  # a stream lasts as long as its job
        answer = case.call(base_url=scene.url, session=scene.session, headers=scene.headers, timeout=30)
        case.validate_response(answer, checks=CHECKS)

    ask()
