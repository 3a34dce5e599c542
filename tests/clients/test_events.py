"""Event streams that break anywhere, and waiting for a job's end."""

from __future__ import annotations

import msgspec
import pytest

from orchestrator.client import (
    JobUnsuccessfulError,
    NoAnswerError,
    NotFoundError,
    UnexpectedAnswerError,
    WaitTimeoutError,
    events,
)
from orchestrator.client.answers import Cost
from orchestrator.client.events import MAX_BREAKS, SseParser
from orchestrator.client.flow import Answer, Lost, Request
from tests.clients.support import Script, json_answer, problem_answer

AT = "2026-11-26T12:00:00.000Z"
KINDS = ("job.created", "job.started", "step.completed", "job.completed")
OPENED = Answer(200, {"content-type": "text/event-stream"}, b"")
COST = {field.name: 0 for field in msgspec.structs.fields(Cost)}
BROKEN = Lost("the connection broke", sent=True)


def event(number: int) -> dict[str, object]:
    return {"id": number, "at": AT, "kind": KINDS[number - 1], "key": None, "data": {"text": "zwei\nZeilen: ✓"}}


def text(number: int) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (
        number,
        KINDS[number - 1].encode(),
        msgspec.json.encode(event(number)),
    )


STREAM = b"retry: 1000\n\n" + text(1) + b": still here\n\n" + text(2) + text(3) + text(4)


def job(status: str, **members: object) -> Answer:
    return json_answer(
        {
            "id": "run_1",
            "workflow": "w",
            "version": 1,
            "status": status,
            "progress": None,
            "metadata": {},
            "result": None,
            "error": None,
            "tags": [],
            "parent_id": None,
            "created_at": AT,
            "started_at": None,
            "finished_at": None,
            "attempts": 1,
            "slices": 1,
            "crashes": 0,
            "steps": 0,
            "rows_written": 0,
            "revision": 1,
            "waits": [],
            "tenant": None,
            "cost": COST,
            **members,
        }
    )


def position(request: Request) -> str:
    return request.headers["last-event-id"]


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_events_are_read_in_whatever_parts_they_arrive(size: int) -> None:
    parser = SseParser()
    parts = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    found = [msgspec.json.decode(data) for part in parts for data in parser.feed(part)]
    assert found == [event(number) for number in (1, 2, 3, 4)]


def test_lines_may_end_as_on_other_systems_and_data_may_have_several_lines() -> None:
    parser = SseParser()
    parts = (b"data:{\r", b"\ndata: }\r\n\r\n", b"event: x\n\n", b"data\n\n")
    assert [data for part in parts for data in parser.feed(part)] == [b"{\n}", b""]


@pytest.mark.parametrize("cut", range(0, len(STREAM), 5))
@pytest.mark.parametrize("how", ["broken", "ended"])
def test_a_stream_cut_anywhere_goes_on_after_the_last_event_that_arrived(cut: int, how: str) -> None:
    first, arrived = STREAM[:cut], len(list(SseParser().feed(STREAM[:cut])))
    rest = b"".join(text(number) for number in range(arrived + 1, 5))
    end: bytes | Lost = BROKEN if how == "broken" else b""
    parts = ([first] if first else []) + [end, rest, b""]
    between = [job("running")] if how == "ended" else []
    script = Script(OPENED, *between, OPENED, parts=parts)
    found = script.items(events.stream_events("run_1"))
    assert [item.id for item in found] == [1, 2, 3, 4]
    assert [position(item) for item in script.requests if "last-event-id" in item.headers] == ["0", str(arrived)]


def test_an_end_that_has_no_event_is_found_in_the_jobs_status() -> None:
    history = json_answer({"events": [event(4)]})
    script = Script(OPENED, job("completed"), history, parts=[text(1) + text(2), b""])
    assert [item.id for item in script.items(events.stream_events("run_1"))] == [1, 2, 4]


def test_a_job_that_was_retried_is_followed_past_its_first_end() -> None:
    failed = text(1).replace(b"job.created", b"job.failed")
    script = Script(OPENED, parts=[failed, text(2), text(4), b""])
    assert [item.id for item in script.items(events.stream_events("run_1"))] == [1, 2, 4]


def test_something_else_that_streams_is_told_apart() -> None:
    with pytest.raises(UnexpectedAnswerError):
        Script(OPENED, parts=[b"data: {}\n\n"]).items(events.stream_events("run_1"))


def test_a_stream_that_never_tells_anything_is_given_up() -> None:
    script = Script(*[OPENED] * MAX_BREAKS, parts=[BROKEN] * MAX_BREAKS)
    with pytest.raises(NoAnswerError):
        script.items(events.stream_events("run_1"))
    assert script.pauses == sorted(script.pauses)


def test_an_unknown_job_has_no_stream() -> None:
    with pytest.raises(NotFoundError) as refused:
        Script(problem_answer(404, "unknown_job")).items(events.stream_events("run_1"))
    assert refused.value.code == "unknown_job"


def test_waiting_by_polling_slows_down() -> None:
    script = Script(*[job("running")] * 12, job("completed", result=7))
    assert script.run(events.get_result("run_1", via="polling")) == 7
    assert script.pauses == sorted(script.pauses)
    assert script.pauses[-1] == events.POLL_MAX_S


def test_waiting_with_the_stream_asks_for_the_status_at_its_end() -> None:
    script = Script(job("running"), OPENED, job("completed", result=[1]), parts=[STREAM, b""])
    assert script.run(events.get_result("run_1")) == [1]
    assert script.pauses == []


def test_a_wait_ends_in_time_and_the_job_is_told_of() -> None:
    script = Script(*[job("running")] * 100)
    with pytest.raises(WaitTimeoutError) as late:
        script.run(events.wait_for_job("run_1", timeout_s=10))
    assert late.value.job.status == "running"
    assert sum(script.pauses) == pytest.approx(10)


def test_a_long_wait_leaves_the_stream_for_its_last_seconds() -> None:
    class Slow(Script):
        def perform(self, effect: object) -> object:  # type: ignore[override]
            if type(effect).__name__ == "Read":
                self.now_s += 9
                return b": still here\n\n"
            return super().perform(effect)  # type: ignore[arg-type]

    script = Slow(job("running"), OPENED, *[job("running")] * 100)
    with pytest.raises(WaitTimeoutError):
        script.run(events.wait_for_job("run_1", timeout_s=60))
    assert script.now_s == pytest.approx(1_060)


@pytest.mark.parametrize("status", ["failed", "cancelled", "expired"])
def test_a_job_without_success_has_no_result(status: str) -> None:
    error = {"code": "broken", "message": "it broke", "step": "load", "attempt": 3, "cause": None}
    with pytest.raises(JobUnsuccessfulError) as ended:
        Script(job(status, error=error)).run(events.get_result("run_1"))
    assert ended.value.job.status == status
    assert status in str(ended.value)
