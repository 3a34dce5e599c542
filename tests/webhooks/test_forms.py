"""The forms that receivers and bills see: the vectors of domain.md §9.1, JSON as JavaScript writes it, their order."""

from __future__ import annotations

import json
import math
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.bundle import ROOT
from steps.platform.javascript import json_text, to_fixed
from steps.webhooks.delivery import signature
from steps.webhooks.ladder import MAX_ATTEMPTS, next_wait_ms
from steps.webhooks.payload import body_of, event_payload
from steps.webhooks.settings import MAX_TEXT_CHARS, TEXT_CHARS, WebhookSettings

NODE = ROOT / ".venv" / "bin" / "node"


def test_signature() -> None:
    payload = {
        "id": "evt_1",
        "event": "document.ready",
        "createdAt": "2024-01-01T00:00:00.000Z",
        "data": {"id": "doc_x", "name": "é.pdf", "totalPages": 10.0},
    }
    body = body_of(payload)
    assert body.decode() == (
        '{"id":"evt_1","event":"document.ready","createdAt":"2024-01-01T00:00:00.000Z",'
        '"data":{"id":"doc_x","name":"é.pdf","totalPages":10}}'
    )
    assert signature("whsec_test", body) == "d3ef3dcae3f5de08fb740dfabd910683c470e915beba26091a15fa3031673883"


def test_waits() -> None:
    waits = [
        next_wait_ms(attempt, unreachable=False, policy="ladder", random=0.5) for attempt in range(1, MAX_ATTEMPTS + 1)
    ]
    seconds = [wait / 1000 for wait in waits if wait is not None]
    assert seconds == [12, 144, 1728, 20736, *[86400] * 5]
    assert sum(seconds) == 454_620
    assert waits[-1] is None
    # A receiver that does not answer is waited for just as long, unless the platform's own way is asked for (W-25).
    assert [
        next_wait_ms(attempt, unreachable=True, policy="ladder", random=0.5) for attempt in range(1, MAX_ATTEMPTS + 1)
    ] == waits


@pytest.mark.parametrize(("random", "expected"), [(0.0, [1_000, 2_000, None]), (0.5, [1_500, 3_000, None])])
def test_brief_waits(random: float, expected: list[int | None]) -> None:
    found = [next_wait_ms(attempt, unreachable=True, policy="brief", random=random) for attempt in (1, 2, 3)]
    assert found == expected
    # The two share one counter: three answers with 500 and then none is the end.
    assert next_wait_ms(4, unreachable=True, policy="brief", random=random) is None
    assert next_wait_ms(4, unreachable=False, policy="brief", random=random) == 20_736_000


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        *[(0.4, 0, "0"), (0.5, 0, "1"), (1.5, 0, "2"), (2.5, 0, "3")],
        *[(0.125, 2, "0.13"), (1.005, 2, "1.00"), (12.345, 2, "12.35"), (7, 2, "7.00")],
    ],
)
def test_to_fixed(value: float, digits: int, expected: str) -> None:
    assert to_fixed(value, digits) == expected


def test_numbers_and_texts_are_written_as_javascript_writes_them() -> None:
    numbers = [
        *[0.0, -0.0, 10.0, 10.5, 1e15, 1e16, 123456789012345680000.0, 1e20, 1e21, 1.5e21, 1e300, 1e-6, 1e-7, 1.5e-7],
        *[5e-324, 0.1, 1 / 3, -2.5, 100, -100, 2**53 - 1, 0.016, 12345.678],
    ]
    texts = ["é", "\u2028\u2029", "\x7f\x00\x01\b\f\n\r\t", '"\\/', "😀", ""]
    value: dict[str, object] = {"numbers": numbers, "texts": texts, "é": None, "b": [True, False, {}], "a": []}
    # Python's own JSON is read by Node, so that both start from the same numbers.
    program = "process.stdin.on('data', d => process.stdout.write(JSON.stringify(JSON.parse(d))))"
    done = subprocess.run([NODE, "-e", program], input=json.dumps(value), capture_output=True, text=True, check=True)
    assert json_text(value) == done.stdout


@settings(max_examples=300, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_survives(number: float) -> None:
    assert float(json_text(number)) == number
    assert math.isclose(float(to_fixed(number, 2)), number, abs_tol=0.0051)


PLAIN = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text()
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)


@given(VALUES)
def test_every_value_survives(value: object) -> None:
    assert json.loads(json_text(value)) == value


STORED_DOCUMENT: dict[str, object] = {
    "updatedAt": "2024-01-01T00:00:01.000Z",
    "createdAt": "2024-01-01T00:00:00.000Z",
    "error": None,
    "totalPages": 12.5,
    "totalChunks": 3,
    "totalCharacters": 100,
    "source": {"text": "Hello.", "type": "TEXT", "fileUrl": "https://elsewhere.example/"},
    "status": "COMPLETED",
    "organizationId": "org_1",
    "namespaceId": "ns_1",
    "name": None,
    "id": "doc_1",
    "internal": "not for receivers",
}


def test_document_events_are_in_the_documented_order() -> None:
    stored = {"data": STORED_DOCUMENT, "createdAt": "2024-01-01T00:00:02.000Z", "event": "document.ready", "id": "evt"}
    assert json_text(event_payload("document.ready", stored)) == (
        '{"id":"evt","event":"document.ready","createdAt":"2024-01-01T00:00:02.000Z","data":{"id":"doc_1","name":null,'
        '"namespaceId":"ns_1","organizationId":"org_1","status":"COMPLETED","source":{"type":"TEXT","text":"Hello."},'
        '"totalCharacters":100,"totalChunks":3,"totalPages":12.5,"error":null,"createdAt":"2024-01-01T00:00:00.000Z",'
        '"updatedAt":"2024-01-01T00:00:01.000Z"}}'
    )


def test_ingest_job_events_are_in_the_documented_order() -> None:
    data = {"status": "FAILED", "id": "job_1", "error": "Failed to process documents", "namespaceId": "ns_1"}
    payload = event_payload("ingest_job.error", {"id": "evt", "createdAt": "t", "data": data})
    assert json_text(payload) == (
        '{"id":"evt","event":"ingest_job.error","createdAt":"t","data":{"id":"job_1","name":null,"namespaceId":"ns_1",'
        '"organizationId":null,"status":"FAILED","error":"Failed to process documents",'
        '"createdAt":null,"updatedAt":null}}'
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"fileUrl": "u", "type": "FILE", "key": "k"}, {"type": "FILE", "fileUrl": "u"}),
        ({"key": "k", "type": "MANAGED_FILE"}, {"type": "MANAGED_FILE", "key": "k"}),
        ({"language": "en", "title": None, "type": "CRAWLED_PAGE"}, {"type": "CRAWLED_PAGE", "language": "en"}),
        (
            {"duration": 61.5, "videoId": "v", "type": "YOUTUBE_VIDEO"},
            {"type": "YOUTUBE_VIDEO", "videoId": "v", "duration": 61.5},
        ),
        ({"duration": True, "type": "YOUTUBE_VIDEO"}, {"type": "YOUTUBE_VIDEO"}),
        ({"type": "UNHEARD_OF", "text": "x"}, {"type": "UNHEARD_OF"}),
        ({"type": ["TEXT"]}, {"type": ["TEXT"]}),
        (None, {"type": None}),
        ("text", {"type": None}),
    ],
)
def test_sources_are_stripped_to_what_is_known_and_never_refused(source: object, expected: object) -> None:
    data = {**STORED_DOCUMENT, "source": source, "totalPages": None}
    payload = event_payload("document.ready", {"data": data})
    found = payload["data"]
    assert isinstance(found, dict)
    assert (found["source"], found["totalPages"]) == (expected, 0)
    assert list(found["source"]) == list(expected)  # type: ignore[call-overload]


@pytest.mark.parametrize("stored", [None, [], {}, {"data": None}, {"data": 5}])
def test_a_row_of_no_known_form_is_still_an_event(stored: object) -> None:
    assert event_payload("document.ready", stored)["event"] == "document.ready"


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, ("ladder", TEXT_CHARS)),
        ({"WEBHOOK_UNREACHABLE_RETRIES": "brief", "WEBHOOK_TEXT_CHARS": "0"}, ("brief", 0)),
        ({"WEBHOOK_UNREACHABLE_RETRIES": "", "WEBHOOK_TEXT_CHARS": "no"}, ("ladder", TEXT_CHARS)),
        ({"WEBHOOK_TEXT_CHARS": "999999999"}, ("ladder", MAX_TEXT_CHARS)),
    ],
)
def test_settings(env: dict[str, str], expected: tuple[str, int]) -> None:
    found = WebhookSettings.from_env({**env, "RESEND_API_KEY": "re_secret", "TINYBIRD_API_KEY": "tiny"})
    assert (found.unreachable, found.text_chars) == expected
    assert "secret" not in repr(found)
