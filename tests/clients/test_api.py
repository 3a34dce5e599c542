"""Both drivers against the API itself, in a world of virtual time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from pydantic import BaseModel

from orchestrator.client import (
    AsyncClient,
    Client,
    ConflictError,
    InvalidRequestError,
    JobUnsuccessfulError,
    NewJob,
    NoAnswerError,
    NotFoundError,
    UnauthorizedError,
    WaitTimeoutError,
    events,
    jobs,
    operations,
)
from tests.clients.support import QUICK, URL, InProcess, Runner
from tests.http.support import KEY, SECRET, Api


class Wish(BaseModel):
    value: datetime


def test_a_job_from_enqueue_to_result(api: Api, awaited: bool) -> None:
    runner = Runner(api, awaited=awaited)
    wish = Wish(value=datetime(2026, 11, 26, tzinfo=UTC))
    accepted = runner.run(jobs.enqueue("keep", wish, tags=["a", "b"], delay=timedelta(seconds=5), priority=3))
    assert (accepted.status, accepted.deduplicated) == ("waiting", False)
    assert runner.run(events.get_result(accepted.id)) == "2026-11-26T00:00:00Z"
    job = runner.run(events.get_job(accepted.id))
    assert (job.has_ended, job.tags) == (True, ["a", "b"])
    assert job.finished_at is not None
    assert job.finished_at - job.created_at >= timedelta(seconds=5)
    history = runner.run(events.get_history(accepted.id))
    assert runner.items(events.stream_events(accepted.id)) == history
    assert runner.items(events.stream_events(accepted.id, after=history[1].id)) == history[2:]
    assert [item.kind for item in history][-1] == "job.completed"


def test_an_answer_that_is_lost_starts_one_job_only(api: Api, awaited: bool) -> None:
    runner = Runner(api, awaited=awaited, faults=["lost", "refused", "lost"])
    accepted = runner.run(jobs.enqueue("keep", {"value": 1}))
    assert accepted.deduplicated
    assert len(runner.transport.requests) == 4
    assert {item.job_id for item in api.backend.requests} == {accepted.id}
    batch = Runner(api, awaited=awaited, faults=["lost"])
    found = batch.run(
        jobs.enqueue_many([NewJob("keep", {"value": 2}), NewJob("no such"), NewJob("keep", {"value": 3})])
    )
    assert [item.status for item in found.results] == ["queued", None, "queued"]
    assert getattr(found.results[1].error, "code", None) == "unknown_workflow"
    assert len(api.world.objects) == 3


def test_refusals_are_errors_with_codes(api: Api, awaited: bool) -> None:
    runner = Runner(api, awaited=awaited)
    with pytest.raises(NotFoundError) as unknown:
        runner.run(events.get_job("run_00000000000000000000000000"))
    assert (unknown.value.status, unknown.value.code) == (404, "unknown_job")
    for wrong in ("", ".", ".."):
        with pytest.raises(InvalidRequestError):
            runner.run(events.get_job(wrong))
    for strange in ("a?b=c", "a#b", "a%2Fb", "ä"):
        with pytest.raises(NotFoundError) as unknown:
            runner.run(events.get_job(strange))
        assert unknown.value.code == "unknown_job", strange
    with pytest.raises(InvalidRequestError) as invalid:
        runner.run(jobs.enqueue("diagnostic-echo", {"steps": -1, "secret": SECRET}))
    assert invalid.value.code == "invalid_payload"
    assert SECRET not in str(invalid.value)
    runner.run(jobs.enqueue("keep", {"value": 1}, idempotency_key="k"))
    with pytest.raises(ConflictError):
        runner.run(jobs.enqueue("keep", {"value": 2}, idempotency_key="k"))


def test_a_wrong_key_is_refused(api: Api) -> None:
    with Client(URL, "wrong", transport=InProcess(api)) as client, pytest.raises(UnauthorizedError):
        client.lanes()


def test_jobs_are_controlled(api: Api, awaited: bool) -> None:
    runner = Runner(api, awaited=awaited)
    job_id = runner.run(jobs.enqueue("stuck")).id
    api.run(for_ms=1_000)
    assert runner.run(jobs.pause(job_id)).status == "paused"
    assert runner.run(jobs.pause(job_id)).status == "paused"
    assert runner.run(jobs.resume(job_id)).status == "running"
    assert runner.run(jobs.cancel(job_id, "not wanted")).status == "cancelling"
    with pytest.raises(JobUnsuccessfulError, match="was cancelled"):
        runner.run(events.get_result(job_id))
    assert runner.run(jobs.retry(job_id, scratch=True)).status == "running"
    assert [step.key for step in runner.run(jobs.get_steps(job_id))] == []
    api.run(for_ms=1_000)
    assert [step.status for step in runner.run(jobs.get_steps(job_id))] == ["retrying"]
    with pytest.raises(ConflictError):
        runner.run(jobs.delete(job_id))
    runner.run(jobs.cancel(job_id))
    api.run()
    runner.run(jobs.delete(job_id))
    with pytest.raises(NotFoundError):
        runner.run(events.get_job(job_id))


def test_a_lost_answer_to_a_retry_is_told_and_not_repeated(api: Api, awaited: bool) -> None:
    job_id = api.start("broken")
    api.run()
    runner = Runner(api, awaited=awaited, faults=["lost"])
    with pytest.raises(NoAnswerError) as silent:
        runner.run(jobs.retry(job_id))
    assert silent.value.maybe_done
    assert len(runner.transport.requests) == 1


def test_tokens_and_events_reach_a_job_once(api: Api, awaited: bool) -> None:
    job_id = api.start("approval")
    api.run(for_ms=1_000)
    runner = Runner(api, awaited=awaited, faults=["", "lost", "lost", ""])
    token = msgspec.convert(runner.run(events.get_job(job_id)).metadata["token"], dict[str, str])
    assert runner.run(jobs.complete_token(token["id"], token["access"], {"yes": True})).success
    assert runner.run(jobs.send_event(job_id, "signed", [1])).event == "signed"
    with pytest.raises(UnauthorizedError):
        runner.run(jobs.complete_token(token["id"], "another", None))
    assert runner.run(events.get_result(job_id)) == [{"yes": True}, [1]]


def test_a_wait_that_is_too_long_ends(api: Api) -> None:
    job_id = api.start("stuck")
    with Client(URL, KEY, transport=InProcess(api)) as client, pytest.raises(WaitTimeoutError):
        client.wait_for_job(job_id, timeout_s=0.01)


def test_lists_go_through_every_page(api: Api, awaited: bool) -> None:
    runner = Runner(api, awaited=awaited)
    runner.run(jobs.enqueue_many([NewJob("keep", {"value": n}, {"tags": [f"t{n % 2}"]}) for n in range(450)]))
    api.run()
    found = runner.items(jobs.search_jobs(workflow="keep", tag="t1"))
    assert len({job.id for job in found}) == 225
    page = runner.run(jobs.list_jobs(limit=10, status="completed"))
    assert (len(page.jobs), page.next_cursor is not None) == (10, True)
    later = datetime(2100, 1, 1, tzinfo=UTC)
    assert runner.items(jobs.search_jobs(created_after=later)) == []
    done = runner.items(jobs.bulk("delete", tag="t1", created_before=later))
    assert len(done) == 225
    api.run(for_ms=60_000)
    page = runner.run(jobs.list_jobs(limit=1, status="completed"))
    refused = runner.items(jobs.bulk("cancel", ids=[page.jobs[0].id, "run_nothing"]))
    assert [item.error and item.error.code for item in refused] == ["conflict", "unknown_job"]


def test_dead_letters_are_redriven(api: Api, awaited: bool) -> None:
    runner = Runner(api, awaited=awaited)
    ids = [api.start("broken") for _ in range(3)]
    api.run()
    letters = runner.items(operations.dead_letters(kind="job", redriven=False))
    assert {letter.job_id for letter in letters} == set(ids)
    assert runner.run(operations.redrive(letters[0].id)).job_id == letters[0].job_id
    others = runner.items(operations.redrive_many(workflow="broken"))
    assert {item.job_id for item in others} >= {letter.job_id for letter in letters[1:]}
    again = runner.items(operations.redrive_many(ids=["job:run_nothing"]))
    assert [item.error and item.error.code for item in again] == ["unknown_dead_letter"]


def test_lanes_are_held(api: Api, awaited: bool) -> None:
    runner = Runner(api, awaited=awaited)
    (lane,) = runner.run(operations.lanes())
    assert (lane.name, lane.concurrency, lane.paused) == ("diagnostic", 3, False)
    assert runner.run(operations.pause_lane("diagnostic")).paused
    assert not runner.run(operations.resume_lane("diagnostic")).paused
    assert runner.run(operations.get_lane("rate/a/b")).name == "rate/a/b"


def test_schedules(api: Api, awaited: bool) -> None:
    runner = Runner(api, awaited=awaited, faults=["lost"])
    made = runner.run(operations.create_schedule("keep", "0 12 * * *", payload={"value": 1}, tags=["t"]))
    named = runner.run(operations.create_schedule("keep", "0 13 * * *", schedule_id="noon", time_zone="Europe/Paris"))
    assert {item.id for item in runner.items(operations.schedules(workflow="keep"))} == {made.id, "noon"}
    assert [item.id for item in runner.items(operations.schedules(tag="t"))] == [made.id]
    assert named.description
    assert runner.run(operations.change_schedule("noon", cron="0 14 * * *")).cron == "0 14 * * *"
    assert runner.run(operations.pause_schedule("noon")).paused
    assert not runner.run(operations.resume_schedule("noon")).paused
    assert runner.run(operations.get_schedule("noon")).upcoming
    assert runner.run(operations.run_schedule("noon")).id.startswith("run_")
    until = datetime.fromtimestamp(api.world.clock.now_ms() / 1000, UTC)
    assert runner.run(operations.backfill_schedule("noon", since=until - timedelta(days=3), until=until)).times == 3
    runner.run(operations.delete_schedule("noon"))
    with pytest.raises(NotFoundError):
        runner.run(operations.get_schedule("noon"))


def test_an_export_is_whole(api: Api, awaited: bool) -> None:
    job_id = api.start("diagnostic-echo", {"steps": 300})
    api.run()
    runner = Runner(api, awaited=awaited)
    document = msgspec.json.decode(b"".join(runner.items(jobs.export(job_id))), type=dict[str, object])
    assert document["format"]
    with pytest.raises(NotFoundError):
        runner.items(jobs.export("run_nothing"))


def test_the_server_itself(api: Api, awaited: bool) -> None:
    runner = Runner(api, awaited=awaited)
    runner.run(operations.health())
    assert "orchestrator_jobs" in runner.run(operations.metrics())
    assert "keep" in {workflow.name for workflow in runner.run(operations.workflows())}
    shards = runner.run(operations.get_catalog())
    assert [shard.name for shard in runner.run(operations.rebuild_catalog([shards[0].name]))] == [shards[0].name]


def test_the_methods_are_the_calls(api: Api) -> None:
    async def later() -> list[str]:
        async with AsyncClient(URL, KEY, retries=QUICK, transport=InProcess(api)) as client:
            job_id = (await client.enqueue("keep", {"value": 5}, tags=["x"])).id
            assert await client.get_result(job_id) == 5
            return [item.kind async for item in client.stream_events(job_id)]

    awaited = asyncio.run(later())
    with Client(URL, KEY, retries=QUICK, transport=InProcess(api)) as client:
        job_id = client.enqueue("keep", {"value": 5}, tags=["x"]).id
        assert client.get_result(job_id) == 5
        assert [item.kind for item in client.stream_events(job_id)] == awaited


def test_a_stream_that_is_left_early_is_closed(api: Api) -> None:
    job_id = api.start("keep")
    with Client(URL, KEY, transport=InProcess(api)) as client:
        stream = client.stream_events(job_id)
        assert next(stream).kind == "job.created"
