"""The live view in the real workerd: pushed, resumable, closed to strangers; no memory while nothing happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from durable.live_view import NORMAL, POLICY
from local.bundle import ROOT
from local.process import LocalStack, wait_until
from tests.live.client import Message, RefusedError, WebSocket

HERE = Path(__file__).parent
ARGUMENTS = (
    *("--main", "watched.worker", "--package", str(HERE / "watched"), "--no-services"),
    *(item for name in ("orchestrator", "steps", "durable") for item in ("--package", str(ROOT / name))),
)
#: Longer than the platform keeps an object in memory that may hibernate (platform.md §1.5).
HIBERNATES_MS = 12_500


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with LocalStack(tmp_path_factory.mktemp("live"), arguments=ARGUMENTS) as running:
        yield running


@pytest.fixture
def client(stack: LocalStack) -> Iterator[httpx.Client]:
    with stack.client() as client:
        yield client


def start(client: httpx.Client, **payload: int) -> str:
    body = {"workflow": "diagnostic-echo", "payload": payload, "options": {"mode": "direct"}}
    return client.post("/v1/jobs", json=body).raise_for_status().json()["id"]


def watch(stack: LocalStack, job_id: str, query: str = "", **headers: str) -> WebSocket:
    lines = {"authorization": f"Bearer {stack.api_key}"} | {
        name.replace("_", "-"): text for name, text in headers.items()
    }
    return WebSocket(f"{stack.url}/v1/jobs/{job_id}/events{query}", lines)


def history(client: httpx.Client, job_id: str) -> list[int]:
    events = client.get(f"/v1/jobs/{job_id}/events", headers={"accept": "application/json"}).raise_for_status()
    return [event["id"] for event in events.json()["events"]]


def times_in_memory(stack: LocalStack, job_id: str) -> int:
    return sum("test.in_memory" in line and job_id in line for line in stack.lines)


def kinds(events: list[Message]) -> list[str]:
    return [event.kind for event in events]


def test_events_are_pushed_as_they_happen_until_the_job_ends(stack: LocalStack, client: httpx.Client) -> None:
    job_id = start(client, steps=3, sleep_ms=1_000)
    with watch(stack, job_id) as first, watch(stack, job_id) as second:
        for socket in (first, second):
            events = socket.rest()
            assert kinds(events)[0] == "job.created"
            assert kinds(events)[-1] == "job.completed"
            assert [event.id for event in events] == history(client, job_id)
            assert socket.goodbye == (NORMAL, "the job has ended")


def test_a_watcher_comes_back_with_the_last_event_it_saw(stack: LocalStack, client: httpx.Client) -> None:
    job_id = start(client, steps=4, sleep_ms=500)
    with watch(stack, job_id) as socket:
        seen = socket.event()
    assert seen is not None
    wait_until(lambda: client.get(f"/v1/jobs/{job_id}").json()["status"] == "completed", timeout_s=30)
    everything = history(client, job_id)
    for query, headers in ((f"?after={seen.id}", {}), ("", {"last_event_id": str(seen.id)})):
        with watch(stack, job_id, query, **headers) as socket:
            assert [event.id for event in socket.rest()] == [number for number in everything if number > seen.id]
    with watch(stack, job_id, f"?after={everything[-1]}") as socket:
        assert socket.rest() == []


def test_a_long_history_comes_in_full(stack: LocalStack, client: httpx.Client) -> None:
    job_id = start(client, steps=1_300)
    with watch(stack, job_id) as socket:
        numbers = [event.id for event in socket.rest()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 1_300


def test_a_watched_job_that_waits_is_out_of_memory_and_its_sockets_stay(
    stack: LocalStack, client: httpx.Client
) -> None:
    job_id = start(client, steps=1, sleep_ms=HIBERNATES_MS)
    with watch(stack, job_id) as socket:
        seen = [socket.event() for _ in range(3)]
        assert kinds([event for event in seen if event]) == ["job.created", "job.started", "step.completed"]
        before = times_in_memory(stack, job_id)
        # The platform answers for the object, which sleeps on.
        socket.send("ping")
        assert socket.text() == "pong"
        assert kinds(socket.rest())[-1] == "job.completed"
    assert times_in_memory(stack, job_id) == before + 1


def test_a_watcher_that_talks_is_sent_away(stack: LocalStack, client: httpx.Client) -> None:
    job_id = start(client, steps=1, sleep_ms=60_000)
    with watch(stack, job_id) as socket:
        socket.send("hello")
        socket.rest()
        assert socket.goodbye[0] == POLICY


def test_a_watcher_whose_key_is_revoked_is_sent_away_before_the_next_event(
    stack: LocalStack, client: httpx.Client
) -> None:
    wish = {"name": "watcher", "scopes": ["read"]}
    gone, kept = (client.post("/v1/keys", json=wish).raise_for_status().json() for _ in range(2))
    job_id = start(client, steps=2, sleep_ms=2_000)
    sockets = [watch(stack, job_id, authorization=f"Bearer {key['key']}") for key in (gone, kept)]
    with sockets[0] as first, sockets[1] as second:
        client.delete(f"/v1/keys/{gone['id']}").raise_for_status()
        assert "job.completed" not in kinds(first.rest())
        assert first.goodbye == (POLICY, "the key has expired or was revoked")
        assert kinds(second.rest())[-1] == "job.completed"
        assert second.goodbye == (NORMAL, "the job has ended")


def test_the_watchers_of_a_deleted_job_may_go(stack: LocalStack, client: httpx.Client) -> None:
    job_id = start(client, steps=1, sleep_ms=60_000)
    with watch(stack, job_id) as socket:
        client.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
        assert kinds(socket.rest())[-1] == "job.cancelled"


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("JOB", {"authorization": "Bearer wrong"}, 401, "unauthorized"),
        ("JOB", {"authorization": ""}, 401, "unauthorized"),
        ("run_00000000000000000000000000", {}, 404, "unknown_job"),
        ("JOB", {"last_event_id": "x"}, 422, "invalid_request"),
    ],
)
def test_who_may_not_watch_gets_no_socket(
    stack: LocalStack, client: httpx.Client, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    job_id = start(client, steps=1) if path == "JOB" else path
    with pytest.raises(RefusedError) as caught:
        watch(stack, job_id, **headers)
    assert caught.value.status == status
    assert f'"code":"{code}"' in caught.value.body


def test_a_dead_runtime_ends_the_connection_and_nothing_is_missed(stack: LocalStack, client: httpx.Client) -> None:
    job_id = start(client, steps=2, sleep_ms=2_000)
    with watch(stack, job_id) as socket:
        seen = [socket.event() for _ in range(3)]
        stack.kill_workerd()
        with pytest.raises(ConnectionError):
            socket.rest()
    stack.wait_ready()
    last = seen[-1]
    assert last is not None
    with watch(stack, job_id, f"?after={last.id}") as socket:
        events = socket.rest()
    assert [last.id, *(event.id for event in events)] == history(client, job_id)[2:]
