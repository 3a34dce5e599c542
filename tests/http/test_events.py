"""The event stream: live, resumable, and as JSON."""

from __future__ import annotations

import json

import pytest

from durable.http import events
from orchestrator.errors import OrchestratorError, RetryableError
from tests.http.support import Api, problem


def parsed(text: str) -> list[dict[str, str]]:
    """Return the events of a stream, by field."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("id:")]
    return [{name: value for name, _, value in (line.partition(": ") for line in block)} for block in blocks]


def kinds(text: str) -> list[str]:
    return [event["event"] for event in parsed(text)]


def test_a_stream_follows_a_job_to_its_end(api: Api) -> None:
    job_id = api.start("diagnostic-echo", {"steps": 2, "sleep_ms": 3_000})
    answer = api.get(f"/v1/jobs/{job_id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.startswith("retry: 1000\n\n")
    assert kinds(answer.text) == ["job.created", "job.started", "step.completed", "step.completed", "job.completed"]
    last = json.loads(parsed(answer.text)[-1]["data"])
    assert (last["id"], last["kind"]) == (int(parsed(answer.text)[-1]["id"]), "job.completed")


def test_a_stream_resumes_after_the_last_event_seen(api: Api) -> None:
    job_id = api.start("diagnostic-echo", {"steps": 5})
    whole = parsed(api.get(f"/v1/jobs/{job_id}/events").text)
    for seen, event in enumerate(whole):
        rest = parsed(api.get(f"/v1/jobs/{job_id}/events", last_event_id=event["id"]).text)
        assert rest == whole[seen + 1 :]


def test_a_long_history_comes_in_full(api: Api) -> None:
    job_id = api.start("diagnostic-echo", {"steps": 1_200})
    api.run()
    numbers = [int(event["id"]) for event in parsed(api.get(f"/v1/jobs/{job_id}/events").text)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 1_200


def test_a_quiet_stream_says_that_it_lives_and_ends_some_time(api: Api) -> None:
    job_id = api.start("diagnostic-echo", {"steps": 1, "sleep_ms": 3_600_000})
    started_ms = api.world.clock.now_ms()
    text = api.get(f"/v1/jobs/{job_id}/events").text
    lasted_ms = api.world.clock.now_ms() - started_ms
    assert events.STREAM_MS <= lasted_ms <= events.STREAM_MS + 2_000
    assert text.count(": still here") == pytest.approx(lasted_ms / events.HEARTBEAT_MS, abs=10)
    assert "job.completed" not in kinds(text)


def test_a_job_that_does_not_answer_for_a_moment(api: Api) -> None:
    job_id = api.start("diagnostic-echo", {"steps": 1, "sleep_ms": 5_000})
    busy = RetryableError("later", code="object_overloaded")
    pauses = 0
    pause = api.host.pause

    async def pause_and_fail(seconds: float) -> None:
        nonlocal pauses
        pauses += 1
        if pauses in {2, 3}:
            api.backend.failures["events"] = [busy]
        await pause(seconds)

    object.__setattr__(api.host, "pause", pause_and_fail)
    assert kinds(api.get(f"/v1/jobs/{job_id}/events").text)[-1] == "job.completed"


def test_a_stream_whose_job_breaks_ends_so_that_the_client_comes_back(api: Api) -> None:
    job_id = api.start("diagnostic-echo", {"steps": 1, "sleep_ms": 5_000})
    pause = api.host.pause

    async def pause_and_fail(seconds: float) -> None:
        api.backend.failures["events"] = [OrchestratorError("broken")]
        await pause(seconds)

    object.__setattr__(api.host, "pause", pause_and_fail)
    assert kinds(api.get(f"/v1/jobs/{job_id}/events").text) == ["job.created"]
    assert ("warning", "stream.ended", {"job_id": job_id, "error": "internal"}) in api.logs


@pytest.mark.parametrize("accept", ["application/json", "application/json, text/plain;q=0.5"])
def test_the_history_as_json(api: Api, accept: str) -> None:
    job_id = api.start("keep")
    api.run()
    listed = api.get(f"/v1/jobs/{job_id}/events", accept=accept).json()["events"]
    assert [event["kind"] for event in listed] == ["job.created", "job.started", "job.completed"]
    rest = api.get(f"/v1/jobs/{job_id}/events?after={listed[0]['id']}", accept=accept).json()["events"]
    assert rest == listed[1:]


@pytest.mark.parametrize("last_event_id", ["x", "-1", str(2**60)])
def test_an_event_id_that_nobody_gave(api: Api, last_event_id: str) -> None:
    job_id = api.start("keep")
    problem(api.get(f"/v1/jobs/{job_id}/events", last_event_id=last_event_id), 422, "invalid_request")


@pytest.mark.parametrize("spelling", ["websocket", "WebSocket"])
def test_a_websocket_is_handed_over_to_the_job_once_the_request_has_passed(api: Api, spelling: str) -> None:
    job_id = api.start("keep")
    path = f"/v1/jobs/{job_id}/events"
    problem(api.request("GET", path, headers={"upgrade": spelling}, key="wrong"), 401, "unauthorized")
    problem(api.get("/v1/jobs/run_00000000000000000000000000/events", upgrade=spelling), 404, "unknown_job")
    assert api.watched == []
    api.get(path, upgrade=spelling, last_event_id="3")
    api.get(f"{path}?after=2", upgrade=spelling)
    assert api.watched == [(job_id, 3, "root"), (job_id, 2, "root")]


def test_an_event_id_that_is_no_number_to_javascript(api: Api) -> None:
    job_id = api.start("keep")
    assert api.get(f"/v1/jobs/{job_id}/events?after={10**15}", accept="application/json").json() == {"events": []}
    problem(api.get(f"/v1/jobs/{job_id}/events?after={2**53 - 1}"), 422, "invalid_request")
