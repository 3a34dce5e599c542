"""What is refused before any route: strangers, large and deep bodies, what is not JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable.http.bodies import is_too_deep
from orchestrator.limits import MAX_BODY_BYTES, MAX_JSON_DEPTH
from tests.http.support import KEY, SECRET, Api, inner_of, problem

PATHS = ["/v1/jobs", "/v1/jobs/run_x", "/openapi.json", "/metrics", "/nowhere", "/trigger/ingest"]


def test_liveness_needs_no_key(api: Api) -> None:
    answer = api.request("GET", "/healthz", key=None)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("key", [None, "", "wrong", KEY + "x", KEY[:-1], "schlüssel"])
def test_everything_else_needs_the_key(api: Api, path: str, key: str | None) -> None:
    answer = api.request("GET", path, key=key)
    problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer ")


def test_another_scheme_is_no_key(api: Api) -> None:
    problem(api.request("GET", "/metrics", key=None, headers={"authorization": f"Basic {KEY}"}), 401, "unauthorized")


def test_the_scheme_is_read_in_any_case(api: Api) -> None:
    answer = api.request("GET", "/metrics", key=None, headers={"authorization": f"bearer {KEY}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("api_key", [None, ""])
@pytest.mark.parametrize("given_key", [None, "", "None"])
def test_no_key_configured_means_closed(api_key: str | None, given_key: str | None) -> None:
    api = Api(api_key=api_key)
    problem(api.request("GET", "/v1/jobs", key=given_key), 503, "no_api_key_configured")
    assert api.request("GET", "/healthz", key=None).status_code == 200


def test_the_key_is_not_in_the_hosts_repr(api: Api) -> None:
    assert KEY not in repr(api.host)


def test_an_unknown_route(api: Api) -> None:
    problem(api.get("/nowhere"), 404, "not_found")


def test_a_wrong_method_names_the_right_ones(api: Api) -> None:
    answer = api.request("DELETE", "/healthz")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"
    several = api.request("PUT", "/v1/jobs")
    problem(several, 405, "method_not_allowed")
    assert several.headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    "body",
    [
        b'{"workflow": "keep"',
        b"{workflow: 1}",
        b"[[[[",
        b"}{",
        b'{"workflow": "keep", "payload": {"value": NaN}}',
        b'{"workflow": "keep", "payload": {"value": 1e400}}',
        b'{"workflow": "keep", "payload": {"value": "\\ud800"}}',
        b'{"workflow": "keep", "payload": {"value": "\xff"}}',
        b'{"workflow": "keep"} trailing',
        b'"never-show-this',
    ],
)
def test_what_is_not_json(api: Api, body: bytes) -> None:
    problem(api.request("POST", "/v1/jobs", content=body), 400, "invalid_json")
    assert api.world.objects == {}


def test_a_body_of_another_type(api: Api) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = api.request("POST", "/v1/jobs", content=b'{"workflow": "keep"}', headers=headers)
    problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/vnd.api+json", "APPLICATION/JSON"]
)
def test_json_may_be_declared_in_several_ways(api: Api, content_type: str) -> None:
    answer = api.request(
        "POST", "/v1/jobs", content=b'{"workflow": "keep", "payload": {}}', headers={"content-type": content_type}
    )
    assert answer.status_code == 202


def body_of(size: int) -> bytes:
    frame = b'{"workflow": "keep", "payload": {"value": "x"}%s}'
    return frame % (b" " * (size - len(frame) + 2))


def test_the_largest_body_passes(api: Api) -> None:
    body = body_of(MAX_BODY_BYTES)
    assert len(body) == MAX_BODY_BYTES
    assert api.request("POST", "/v1/jobs", content=body).status_code == 202


def test_a_body_above_the_bound(api: Api) -> None:
    problem(api.request("POST", "/v1/jobs", content=body_of(MAX_BODY_BYTES + 1)), 413, "payload_too_large")


def test_a_stream_above_the_bound_is_not_read_to_its_end(api: Api) -> None:
    read = 0

    async def stream() -> AsyncIterator[bytes]:
        nonlocal read
        while True:  # endless
            read += 100_000
            yield b" " * 100_000

    answer = api.request("POST", "/v1/jobs", content=stream())
    problem(answer, 413, "payload_too_large")
    assert read <= MAX_BODY_BYTES + 200_000


def test_a_stranger_is_refused_before_the_body_is_read(api: Api) -> None:
    async def stream() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    problem(api.request("POST", "/v1/jobs", content=stream(), key=None), 401, "unauthorized")


def nested(depth: int) -> bytes:
    return b'{"workflow": "keep", "payload": {"value": ' + b"[" * (depth - 2) + b"]" * (depth - 2) + b"}}"


def test_the_deepest_body_passes(api: Api) -> None:
    assert api.request("POST", "/v1/jobs", content=nested(MAX_JSON_DEPTH)).status_code == 202


@pytest.mark.parametrize("body", [nested(MAX_JSON_DEPTH + 1), b"[" * 1_000_000, b'{"a":' * 200_000])
def test_a_body_nested_too_deep(api: Api, body: bytes) -> None:
    problem(api.request("POST", "/v1/jobs", content=body), 400, "too_deep")


JSON = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(alphabet=st.sampled_from('ab"\\[]{}\n'))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(alphabet='[]{}"\\', max_size=3), inner, max_size=3)
    ),
    max_leaves=30,
)


def depth_of(value: object) -> int:
    inner = inner_of(value)
    return 0 if inner is None else 1 + max((depth_of(item) for item in inner), default=0)


@given(JSON, st.integers(0, 70))
def test_depth_is_counted_outside_of_strings_only(value: object, more: int) -> None:
    for _ in range(more):
        value = [value]
    assert is_too_deep(json.dumps(value).encode()) == (depth_of(value) > MAX_JSON_DEPTH)


def test_a_failure_nobody_foresaw_tells_nothing(api: Api) -> None:
    api.backend.failures["create"] = [RuntimeError(f"password {SECRET}")]
    problem(api.post("/v1/jobs", {"workflow": "keep", "payload": {}}), 500, "internal")
    assert [event for _, event, _ in api.logs] == ["request.crashed"]
