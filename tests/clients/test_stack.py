"""The Python clients and the command line each take a real job from enqueue to result, on the real stack."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from local.process import LocalStack
from orchestrator.client import AsyncClient, Client, JobUnsuccessfulError, NewJob, Producer
from orchestrator.client.settings import producer_target

ROOT = Path(__file__).resolve().parents[2]
ECHO = {"steps": 5, "total": 15}


def test_blocking(stack: LocalStack) -> None:
    with Client(stack.url, stack.api_key) as client:
        accepted = client.enqueue("diagnostic-echo", {"steps": 5, "sleep_ms": 300}, tags=["blocking"])
        assert client.get_result(accepted.id) == ECHO
        history = list(client.stream_events(accepted.id))
        assert [event.kind for event in history if event.kind.startswith("job.")][-1] == "job.completed"
        assert list(client.stream_events(accepted.id, after=history[0].id)) == history[1:]
        assert msgspec.json.decode(b"".join(client.export(accepted.id)), type=dict[str, object])["format"]
        failing = client.enqueue("diagnostic-echo", {"steps": 2, "fail_at": 1}).id
        with pytest.raises(JobUnsuccessfulError, match="diagnostic_failure"):
            client.get_result(failing, via="polling")


def test_awaited(stack: LocalStack) -> None:
    async def play() -> list[object]:
        async with AsyncClient(stack.url, stack.api_key) as client:
            batch = await client.enqueue_many([NewJob("diagnostic-echo", {"steps": 5}) for _ in range(10)])
            ids = [item.id or "" for item in batch.results]
            results = await asyncio.gather(*(client.get_result(job_id) for job_id in ids))
            kinds = [event.kind async for event in client.stream_events(ids[0])]
            assert kinds[-1] == "job.completed"
            return results

    assert asyncio.run(play()) == [ECHO] * 10


def test_a_crash_of_workerd_is_nothing_to_a_client(stack: LocalStack) -> None:
    """The stream breaks, the status does not answer for a while; every event still arrives once, and the result."""
    with Client(stack.url, stack.api_key) as client:
        job_id = client.enqueue("diagnostic-echo", {"steps": 2, "sleep_ms": 2_000}).id
        seen: list[int] = []
        with stack.expect_restart():
            for event in client.stream_events(job_id):
                seen.append(event.id)
                if event.kind == "job.started":
                    stack.kill_workerd()
        assert seen == list(range(seen[0], seen[0] + len(seen)))
        assert client.get_result(job_id) == {"steps": 2, "total": 3}


def test_the_plans_functions(stack: LocalStack) -> None:
    env = {"USE_CLOUDFLARE_QUEUES": "true", "QUEUE_PRODUCER_URL": stack.url, "ORCHESTRATOR_API_KEY": stack.api_key}
    with Producer.at(producer_target(env)) as producer, Client(stack.url, stack.api_key) as client:
        job_id = producer.trigger_ingestion_job({"jobId": "cnothing00000000000000001", "organizationId": "o"}, "pro").id
        job = client.wait_for_job(job_id, timeout_s=60)
        assert (job.workflow, job.status) == ("trigger-ingestion-job", "failed")  # there is no such row


def test_the_command_line(stack: LocalStack, tmp_path: Path) -> None:
    """It finds the stack by its state directory, as a user's would."""
    env = {**os.environ, "STATE": str(stack.directory), "PYTHONPATH": str(ROOT)}
    for name in ("ORCHESTRATOR_URL", "QUEUE_PRODUCER_URL", "ORCHESTRATOR_API_KEY"):
        env.pop(name, None)

    def orchestrator(*arguments: str) -> list[dict[str, object]]:
        command = [sys.executable, "-m", "orchestrator.cli", *arguments, "--json"]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    *_, ended = orchestrator("enqueue", "diagnostic-echo", '{"steps": 5, "sleep_ms": 300}', "--wait", "--tag", "cli")
    assert (ended["status"], ended["result"]) == ("completed", ECHO)
    assert orchestrator("events", str(ended["id"]))[-1]["kind"] == "job.completed"
    findings = orchestrator("doctor", "--config", str(ROOT / "wrangler.toml"))
    assert {str(item["state"]) for item in findings} == {"right", "note"}
    assert {"database", "bucket blobs", "bucket images", "bucket assets", "clock"} <= {
        item["name"] for item in findings
    }
