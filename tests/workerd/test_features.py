"""Features of the engine on the real runtime, each in its own small workflow."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec
import pytest

from local.bundle import ROOT
from local.process import LocalStack

T = TypeVar("T")

HERE = Path(__file__).parent
ARGUMENTS = (
    *("--main", "features.worker", "--package", str(HERE / "features"), "--no-services"),
    *(item for name in ("orchestrator", "steps", "durable") for item in ("--package", str(ROOT / name))),
)
ENDED = frozenset({"completed", "failed", "cancelled", "expired"})
WAIT_S = 30.0


class Error(msgspec.Struct, frozen=True):
    code: str
    message: str


class Wait(msgspec.Struct, frozen=True):
    kind: str
    reason: str


class Cost(msgspec.Struct, frozen=True):
    rows_read: int
    rows_written: int
    requests: int
    calls: int
    alarms_set: int
    alarms_fired: int
    slices: int
    active_ms: int
    storage_bytes: int
    estimated_usd: float


class Job(msgspec.Struct, frozen=True):
    """A job as the API shows it."""

    id: str
    status: str
    result: object
    error: Error | None
    metadata: dict[str, object]
    tags: list[str]
    parent_id: str | None
    waits: list[Wait]
    cost: Cost


class Step(msgspec.Struct, frozen=True):
    key: str
    status: str


class _Steps(msgspec.Struct, frozen=True):
    steps: list[Step]


class _Accepted(msgspec.Struct, frozen=True):
    id: str


class Api:
    """The API of a running stack."""

    def __init__(self, stack: LocalStack, client: httpx.Client) -> None:
        self.stack = stack
        self.client = client

    def start(self, workflow: str, payload: Mapping[str, object], **options: object) -> str:
        body = {"workflow": workflow, "payload": payload, "options": {"mode": "direct", **options}}
        answer = self.client.post("/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        return msgspec.json.decode(answer.content, type=_Accepted).id

    def act(self, job_id: str, action: str, body: object = None) -> None:
        answer = self.client.post(f"/v1/jobs/{job_id}/{action}", json=body)
        assert answer.status_code == 202, answer.text

    def job(self, job_id: str) -> Job:
        answer = self.client.get(f"/v1/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return msgspec.json.decode(answer.content, type=Job)

    def steps(self, job_id: str) -> dict[str, str]:
        answer = self.client.get(f"/v1/jobs/{job_id}/steps")
        assert answer.status_code == 200, answer.text
        return {step.key: step.status for step in msgspec.json.decode(answer.content, type=_Steps).steps}

    def until(self, job_id: str, statuses: frozenset[str] = ENDED) -> Job:
        deadline = time.monotonic() + WAIT_S
        while (found := self.job(job_id)).status not in statuses:
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with LocalStack(tmp_path_factory.mktemp("features"), arguments=ARGUMENTS) as stack, stack.client() as client:
        yield Api(stack, client)


def test_a_child_is_started_once_by_key_and_waited_for(api: Api) -> None:
    first = api.until(api.start("feature-parent", {"naps_ms": 300, "key": "one"}))
    second = api.until(api.start("feature-parent", {"naps_ms": 300, "key": "one"}))
    assert (first.status, second.status) == ("completed", "completed")
    child_id = first.metadata["child"]
    assert first.result == {"child": child_id, "deduplicated": False, "result": 42}
    assert second.result == {"child": child_id, "deduplicated": True, "result": 42}
    child = api.job(str(child_id))
    assert (child.status, child.tags, child.parent_id) == ("completed", ["feature"], first.id)


def test_calls_in_quick_succession_are_one_job(api: Api) -> None:
    def call(text: str, debounce_s: float) -> str:
        return api.start("feature-note", {"text": text}, idempotency_key="notes", debounce=debounce_s)

    ids = {call(text, 600) for text in ("a", "b")} | {call("c", 0.1)}
    assert len(ids) == 1
    assert api.until(ids.pop()).result == "c"
    later = call("d", 600)
    assert api.job(later).status == "waiting"
    api.act(later, "cancel")


@pytest.mark.parametrize(("policy", "status"), [("cancel_unless_completed", "cancelled"), ("keep", "completed")])
def test_a_cancelled_parent_takes_its_child_along_or_not(api: Api, policy: str, status: str) -> None:
    parent_id = api.start("feature-parent", {"naps_ms": 2_000, "waits": False, "on_parent_end": policy})
    parent = api.until(parent_id, frozenset({"suspended"}))
    assert [wait.reason for wait in parent.waits] == ["waiting"]
    api.act(parent_id, "cancel")
    assert api.until(parent_id).status == "cancelled"
    assert api.until(str(parent.metadata["child"])).status == status


def test_a_job_stops_another_and_waits_for_its_end(api: Api) -> None:
    stopper = api.until(api.start("feature-stopper", {}))
    assert stopper.status == "completed", stopper.error
    child = api.job(str(msgspec.convert(stopper.result, dict[str, object])["child"]))
    assert stopper.result == {"child": child.id, "ended": "cancelled", "nobody": None}
    assert child.status == "cancelled"
    assert child.error is not None
    assert child.error.message == "no more"


def test_a_runaway_job_is_stopped_by_its_budget_and_goes_on_with_a_larger_one(api: Api) -> None:
    job_id = api.start("feature-restless", {}, budget={"slices": 5})
    job = api.until(job_id, frozenset({"paused"}))
    assert (job.error and job.error.code, job.cost.slices) == ("budget_exceeded", 5)
    answer = api.client.post(f"/v1/jobs/{job_id}/resume")
    assert (answer.status_code, answer.json()["code"]) == (409, "budget_exceeded")
    api.act(job_id, "resume", {"budget": {"slices": 8}})
    cost = api.until(job_id, frozenset({"paused"})).cost
    assert cost.slices == 8
    assert cost.rows_read > cost.rows_written > 8
    assert cost.alarms_fired >= 8
    assert cost.alarms_set >= cost.slices
    assert cost.requests >= 4
    assert cost.calls >= 2
    assert cost.storage_bytes > 4_096
    assert 0 < cost.estimated_usd < 0.01
    api.act(job_id, "cancel")
    assert api.until(job_id).status == "cancelled"


def test_undo_steps_run_when_a_job_fails_or_is_cancelled_also_in_a_new_copy_of_its_object(api: Api) -> None:
    undone = ["undo/undo#3", "undo/undo#2", "undo/undo"]
    failed = api.start("feature-saga", {})
    cancelled = api.start("feature-saga", {"naps_ms": 60_000})
    assert api.until(failed).status == "failed"
    api.until(cancelled, frozenset({"suspended"}))
    api.stack.evict("JobObject", cancelled)
    api.act(cancelled, "cancel")
    assert api.until(cancelled).status == "cancelled"
    for job_id in (failed, cancelled):
        steps = api.steps(job_id)
        assert [key for key in steps if key.startswith("undo/")] == undone
        assert {steps[key] for key in undone} == {"completed"}
