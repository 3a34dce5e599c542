"""Features of the engine on the real runtime, each in its own small workflow."""

from __future__ import annotations

import msgspec
import pytest

from tests.workerd.feature_api import Api


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
