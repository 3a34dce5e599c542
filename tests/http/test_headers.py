"""Headers: bounds of requests, what makes answers safe, and which other origins may read them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from durable.http.headers import origins_of
from durable.http.keyring import rate_of
from orchestrator.limits import MAX_HEADER_BYTES, MAX_HEADERS, MAX_URI_BYTES, RATE_PER_S
from tests.http.support import Api, problem

ORIGIN = "https://app.example"
PREFLIGHT = {"origin": ORIGIN, "access-control-request-method": "POST"}


@pytest.fixture
def open_api(api: Api) -> Api:
    api.host = replace(api.host, cors_origins=frozenset({ORIGIN}))
    return api


@pytest.mark.parametrize(
    ("path", "key"), [("/healthz", None), ("/v1/jobs", None), ("/v1/jobs?limit=1", "a key of the tests"), ("/x", "x")]
)
def test_every_answer_is_safe(api: Api, path: str, key: str | None) -> None:
    headers = api.request("GET", path, key=key).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["strict-transport-security"].startswith("max-age=")
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"


def test_answers_and_logs_are_found_by_one_id(api: Api) -> None:
    job_id = api.start("keep")
    api.backend.failures["view"] = [RuntimeError("bug")]
    answer = api.get(f"/v1/jobs/{job_id}")
    assert api.logs[-1][2]["request_id"] == answer.headers["x-request-id"]
    assert len(answer.headers["x-request-id"]) == 16
    assert api.get("/healthz", cf_ray="230b030023ae2822-SJC").headers["x-request-id"] == "230b030023ae2822-SJC"
    assert api.get("/healthz", cf_ray="a\x7fb").headers["x-request-id"] != "a\x7fb"


def test_other_origins_read_nothing_unless_they_are_allowed(api: Api) -> None:
    answer = api.request("OPTIONS", "/v1/jobs", headers=PREFLIGHT, key=None)
    problem(answer, 401, "unauthorized")
    for found in (answer, api.get("/v1/jobs", origin=ORIGIN)):
        assert not any(name.startswith("access-control") for name in found.headers)


def test_an_allowed_origin_may_ask_and_read(open_api: Api) -> None:
    answer = open_api.request("OPTIONS", "/v1/jobs", headers=PREFLIGHT, key=None)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert "POST" in answer.headers["access-control-allow-methods"]
    read = open_api.get("/v1/jobs", origin=ORIGIN)
    assert (read.headers["access-control-allow-origin"], read.headers["vary"]) == (ORIGIN, "origin")
    assert "access-control-allow-credentials" not in read.headers
    refused = open_api.request("GET", "/v1/jobs", headers={"origin": ORIGIN}, key=None)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, ORIGIN)


@pytest.mark.parametrize("origin", ["https://app.example.evil", "http://app.example", "null", "https://APP.example"])
def test_any_other_origin_stays_outside(open_api: Api, origin: str) -> None:
    answer = open_api.request("OPTIONS", "/v1/jobs", headers={**PREFLIGHT, "origin": origin}, key=None)
    assert answer.status_code == 401
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["vary"] == "origin"


@pytest.mark.parametrize(
    ("setting", "origins"),
    [
        (None, set[str]()),
        ("", set[str]()),
        ("*", set[str]()),
        ("null", set[str]()),
        ("https://*.example", set[str]()),
        ("https://a.example/path, javascript:x", set[str]()),
        ("https://a.example,http://localhost:3000", {"https://a.example", "http://localhost:3000"}),
        (" https://a.example  http://[::1]:80 ", {"https://a.example", "http://[::1]:80"}),
    ],
)
def test_the_setting_names_origins(setting: str | None, origins: set[str]) -> None:
    assert origins_of(setting) == origins


@pytest.mark.parametrize(("setting", "rate"), [(None, RATE_PER_S), ("20", 20), ("0", RATE_PER_S), ("x", RATE_PER_S)])
def test_the_setting_of_the_rate(setting: str | None, rate: int) -> None:
    assert rate_of(setting) == rate


def test_headers_are_bounded(api: Api) -> None:
    many = {f"x-{number}": "1" for number in range(MAX_HEADERS)}
    problem(api.request("GET", "/v1/jobs", headers=many), 431, "headers_too_large")
    problem(api.request("GET", "/healthz", headers={"x-large": "a" * MAX_HEADER_BYTES}), 431, "headers_too_large")
    fitting = {f"x-{number}": "1" for number in range(MAX_HEADERS - 20)}
    assert api.request("GET", "/v1/jobs", headers=fitting).status_code == 200


def test_addresses_are_bounded(api: Api) -> None:
    problem(api.get("/v1/jobs?tag=" + "a" * MAX_URI_BYTES), 414, "uri_too_long")
    problem(api.get("/v1/jobs/" + "a" * MAX_URI_BYTES), 414, "uri_too_long")
