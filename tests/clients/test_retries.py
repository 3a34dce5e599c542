"""When requests are sent again, and with which key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.client import (
    NO_RETRIES,
    ConflictError,
    InvalidRequestError,
    NewJob,
    NoAnswerError,
    RateLimitedError,
    Retries,
    UnauthorizedError,
    UnavailableError,
    UnexpectedAnswerError,
    jobs,
)
from orchestrator.client.flow import Answer, Lost, Request
from orchestrator.client.retries import retry_after_s, wait_s
from tests.clients.support import Script, json_answer, problem_answer

ACCEPTED = json_answer({"id": "run_1", "status": "queued", "deduplicated": False}, 202)
CHANGED = json_answer({"id": "run_1", "status": "running"}, 202)
LOST = Lost("the connection broke", sent=True)
UNSENT = Lost("refused", sent=False)
BUSY = problem_answer(503, "object_overloaded", retry_after="2")
TOO_MANY = problem_answer(429, "rate_limited", retry_after="7")
CRASHED = problem_answer(500, "internal")
ONE_DAY = "Wed, 25 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    "reply", [LOST, UNSENT, BUSY, TOO_MANY, CRASHED, Answer(502, {}, b"<html>"), Answer(504, {}, b"")]
)
def test_a_job_is_asked_for_again_with_the_same_key(reply: Answer | Lost) -> None:
    script = Script(reply, reply, ACCEPTED)
    assert script.run(jobs.enqueue("diagnostic-echo", {"steps": 1})).id == "run_1"
    assert script.requests == [script.requests[0]] * 3
    assert script.body() == {
        "workflow": "diagnostic-echo",
        "payload": {"steps": 1},
        "options": {"idempotency_key": "key-1"},
    }


def test_every_job_of_a_batch_gets_a_key_of_its_own_and_callers_keys_stay() -> None:
    script = Script(LOST, json_answer({"accepted": 3, "rejected": 0, "results": []}, 202))
    items = [NewJob("a"), NewJob("b", options={"idempotency_key": "mine"}), NewJob("c", options={"tags": ["t"]})]
    script.run(jobs.enqueue_many(items))
    assert script.requests[0] == script.requests[1]
    assert script.body() == {
        "items": [
            {"workflow": "a", "payload": {}, "options": {"idempotency_key": "key-1:0"}},
            {"workflow": "b", "payload": {}, "options": {"idempotency_key": "mine"}},
            {"workflow": "c", "payload": {}, "options": {"tags": ["t"], "idempotency_key": "key-1:2"}},
        ]
    }


def test_calls_to_be_debounced_are_not_kept_apart_by_a_key_of_ours() -> None:
    script = Script(ACCEPTED)
    script.run(jobs.enqueue("a", debounce=5))
    assert script.body() == {"workflow": "a", "payload": {}, "options": {"debounce": 5}}


def test_a_policy_of_the_caller_is_a_key_too() -> None:
    script = Script(ACCEPTED)
    script.run(jobs.enqueue("a", idempotency={"key": "k", "on_ended": "new"}))
    assert script.body() == {
        "workflow": "a",
        "payload": {},
        "options": {"idempotency": {"key": "k", "on_ended": "new"}},
    }


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (problem_answer(401, "unauthorized"), UnauthorizedError),
        (problem_answer(409, "conflict"), ConflictError),
        (problem_answer(422, "invalid_payload"), InvalidRequestError),
        (problem_answer(503, "no_api_key_configured"), UnavailableError),
        (json_answer({"id": 1}, 202), UnexpectedAnswerError),
        (Answer(200, {}, b"<html>"), UnexpectedAnswerError),
    ],
)
def test_what_does_not_pass_by_itself_is_not_tried_again(reply: Answer, kind: type[Exception]) -> None:
    script = Script(reply)
    with pytest.raises(kind):
        script.run(jobs.enqueue("a"))
    assert len(script.requests) == 1


@pytest.mark.parametrize("reply", [UNSENT, BUSY, TOO_MANY])
def test_what_was_not_begun_is_tried_again_whatever_it_is(reply: Answer | Lost) -> None:
    script = Script(reply, CHANGED)
    assert script.run(jobs.retry("run_1")).status == "running"


@pytest.mark.parametrize(("reply", "kind"), [(LOST, NoAnswerError), (CRASHED, UnavailableError)])
def test_a_retry_of_a_job_is_not_asked_for_twice(reply: Answer | Lost, kind: type[Exception]) -> None:
    script = Script(reply)
    with pytest.raises(kind):
        script.run(jobs.retry("run_1"))


def test_the_last_refusal_is_raised_and_says_whether_something_may_have_happened() -> None:
    with pytest.raises(RateLimitedError) as refused:
        Script(TOO_MANY, TOO_MANY).run(jobs.enqueue("a"), Retries(max_attempts=2))
    assert (refused.value.status, refused.value.code) == (429, "rate_limited")
    for lost, maybe in ((LOST, True), (UNSENT, False)):
        with pytest.raises(NoAnswerError) as silent:
            Script(lost).run(jobs.enqueue("a"), NO_RETRIES)
        assert silent.value.maybe_done is maybe


def test_waits_double_and_are_at_least_what_the_server_asks_for() -> None:
    script = Script(UNSENT, UNSENT, UNSENT, BUSY, TOO_MANY, ACCEPTED)
    script.run(jobs.enqueue("a"), Retries(initial_s=1, max_s=3))
    assert script.pauses == [0.75, 1.5, 2.25, 2.25, 7.0]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "5"}, 5.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "Wed, 25 Nov 2026 12:00:30 GMT", "date": ONE_DAY}, 30.0),
        ({"retry-after": ONE_DAY, "date": "Wed, 25 Nov 2026 12:00:30 GMT"}, 0.0),
        ({"retry-after": ONE_DAY}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(Answer(429, headers, b"")) == seconds


@given(
    attempt=st.integers(1, 200),
    random=st.floats(0, 1, exclude_max=True),
    asked=st.none() | st.integers(0, 100_000),
    repeat=st.sampled_from(["always", "unserved"]),
    status=st.sampled_from([429, 500, 502, 503, 504]),
)
def test_decisions_are_bounded(attempt: int, random: float, asked: int | None, repeat: str, status: int) -> None:
    policy = Retries(max_attempts=150)
    headers = {} if asked is None else {"retry-after": str(asked)}
    request = Request(method="POST", path="/", repeat="always" if repeat == "always" else "unserved")
    seconds = wait_s(policy, request, Answer(status, headers, b""), attempt=attempt, random=random)
    if attempt >= 150 or (repeat == "unserved" and status not in (429, 503)) or (asked or 0) > policy.max_asked_s:
        assert seconds is None
    else:
        assert seconds is not None
        assert max(0.0, asked or 0) <= seconds <= max(policy.max_s, asked or 0)
