"""Whatever is sent, the answer is foreseen: no 5xx, and every refusal is a problem document."""

from __future__ import annotations

import re
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.http.conformance import document_of
from tests.http.support import Api

ROUTES = [
    (method.upper(), re.sub(r"\{\w+\}", "{}", path))
    for path, methods in document_of(Api().world.registry).schema["paths"].items()
    for method in methods
] + [("PATCH", "/v1/jobs/{}"), ("GET", "/{}"), ("POST", "/trigger/{}")]
NAMES = st.sampled_from(
    ["workflow", "payload", "options", "items", "body", "plan", "data", "id", "delay", "tags", "reason", "priority",
     "steps", "value", "from_step", "scratch", "idempotency_key", "mode", "ttl", "max_duration",
     "action", "filter", "ids", "limit", "idempotency", "key", "window", "on_ended", "retention", "created_before",
     "shards"]
)  # fmt: skip
WORDS = st.sampled_from(
    [
        "keep",
        "cancel",
        "delete",
        "new",
        "2026-01-01T00:00:00Z",
        "diagnostic-echo",
        "stuck",
        "direct",
        "queue",
        "PT1H",
        "",
        "null",
        "\x00",
        "é\n",
    ]
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=5)),
    max_leaves=12,
)
SEGMENTS = st.one_of(st.text(min_size=1, max_size=30), st.just("run_" + "0" * 26), st.just("JOB"))
QUERIES = st.dictionaries(
    st.sampled_from(["workflow", "status", "tag", "cursor", "limit", "after", "created_after", "redriven", "partial"]),
    st.text(max_size=20),
    max_size=3,
)


@given(st.sampled_from(ROUTES), st.lists(SEGMENTS, min_size=2, max_size=2), VALUES, QUERIES, st.text(max_size=10))
@settings(max_examples=300, deadline=None)
def test_every_answer_is_foreseen(
    route: tuple[str, str], segments: list[str], body: object, query: dict[str, str], last_event_id: str
) -> None:
    api = Api()
    job_id = api.start("diagnostic-echo", {"steps": 1})
    method, path = route
    for segment in segments:
        path = path.replace("{}", quote(job_id if segment == "JOB" else segment, safe=""), 1)
    text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    headers = {"last-event-id": quote(last_event_id)} if last_event_id else {}
    answer = api.request(method, f"{path}?{text}", json=None if method == "GET" else body, headers=headers)
    assert answer.status_code < 500, (answer.text, api.logs)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "code", "detail"} <= answer.json().keys()
    api.run()
