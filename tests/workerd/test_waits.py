"""Waits, fan-outs, time limits, large values, versions and retries on the real runtime."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import msgspec
import pytest

from local.process import wait_until
from orchestrator.client.answers import Job
from tests.workerd.feature_api import Api

SUSPENDED = frozenset({"suspended"})


def deploy(api: Api, *, new: bool) -> None:
    assert api.until(api.start("feature-deploy", {"new": new})).status == "completed"


@contextmanager
def deployed(api: Api) -> Generator[None]:
    """The new version of the workflows runs for the length of the block."""
    deploy(api, new=True)
    try:
        yield
    finally:
        deploy(api, new=False)


def ended(api: Api, workflow: str, **options: object) -> Job:
    return api.until(api.start(workflow, {}, **options))


def code_of(job: Job) -> str | None:
    return job.error and job.error.code


def test_an_event_before_its_wait_a_token_and_a_timeout_also_in_new_copies(api: Api) -> None:
    job_id = api.start("feature-approval", {})
    api.act(job_id, "events/said", {"data": "early"})
    waiting = api.until(job_id, SUSPENDED)
    token_id, bearer = msgspec.convert(waiting.metadata["token"], tuple[str, str])
    api.stack.evict("JobObject", job_id)
    path = f"/api/v1/waitpoints/tokens/{token_id}/complete"
    refused = api.client.post(path, json={"data": "no"}, headers={"authorization": "Bearer nonsense"})
    assert refused.status_code in {401, 403, 404}
    more_than_a_row_holds = "yes, " * 400_000
    for answer in (more_than_a_row_holds, "yes, again"):
        done = api.client.post(path, json={"data": answer}, headers={"authorization": f"Bearer {bearer}"})
        assert (done.status_code, done.json()) == (200, {"success": True})
    assert api.until(job_id).result == ["early", "yes, ", 2_000_000, "wait_timeout"]
    late = api.client.post(f"/v1/jobs/{job_id}/events/said", json={"data": "late"})
    assert (late.status_code, late.json()["code"]) == (409, "job_ended")


def test_a_silent_step_is_given_up_and_the_next_attempt_knows_what_it_said(api: Api) -> None:
    assert ended(api, "feature-heartbeat").result == {"part": 7}


def test_time_limits(api: Api) -> None:
    assert code_of(ended(api, "feature-timeout")) == "step_timeout"
    assert code_of(ended(api, "feature-nap", max_duration=0.3)) == "job_timeout"
    assert ended(api, "feature-nap", mode="queue", ttl=0.001).status == "expired"


def test_a_large_result_survives_its_object_and_goes_with_its_job(api: Api) -> None:
    job_id = api.start("feature-large", {"size": 3_000_000})
    api.until(job_id, SUSPENDED)
    assert len([key for key in api.stack.list_blobs() if job_id in key]) == 1
    api.stack.evict("JobObject", job_id)
    api.act(job_id, "events/go", {"data": None})
    assert api.until(job_id).result == 3_000_000
    assert api.client.delete(f"/v1/jobs/{job_id}").status_code == 204
    wait_until(lambda: not any(job_id in key for key in api.stack.list_blobs()), timeout_s=30)


def test_a_fan_out_tolerates_as_many_failures_as_it_is_told(api: Api) -> None:
    assert ended(api, "feature-fan").result == [9, 9, 3]
    assert code_of(ended(api, "feature-fan-fast")) == "child_failed"


def test_jobs_under_way_keep_the_old_side_of_a_change(api: Api) -> None:
    under_way = api.start("feature-patched", {})
    api.until(under_way, SUSPENDED)
    with deployed(api):
        api.stack.evict("JobObject", under_way)
        api.act(under_way, "events/go", {"data": None})
        assert ended(api, "feature-patched").result == "new"
        assert api.until(under_way).result == "old"


def test_code_that_contradicts_a_journal_pauses_the_job_until_it_is_mended(api: Api) -> None:
    job_id = api.start("feature-mismatch", {})
    api.until(job_id, SUSPENDED)
    with deployed(api):
        api.stack.evict("JobObject", job_id)
        api.act(job_id, "events/go", {"data": None})
        paused = api.until(job_id, frozenset({"paused"}))
        assert paused.error is not None
        assert paused.error.code == "journal_mismatch"
        assert "recorded 'begin' as step and the code now makes it sleep" in paused.error.message
    api.stack.evict("JobObject", job_id)
    api.act(job_id, "resume")
    assert api.until(job_id).result == "done"


@pytest.mark.parametrize("where", [{}, {"scratch": True}, {"from_step": "second"}], ids=["failed", "scratch", "named"])
def test_a_failed_job_is_retried(api: Api, where: dict[str, object]) -> None:
    failed = ended(api, "feature-retried")
    assert code_of(failed) == "feature_failure"
    with deployed(api):
        api.act(failed.id, "retry", where)
        again = api.until(failed.id, frozenset({"completed", "failed"}))
        assert again.result == [1, "done"]
