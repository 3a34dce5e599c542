"""Between the answer 202 and the queue: ``kill -9`` there loses no job, on the real workerd."""

from __future__ import annotations

from pathlib import Path

import httpx

from local.bundle import ROOT
from local.process import LocalStack, wait_until

HERE = Path(__file__).parent
ARGUMENTS = (
    *("--main", "cut_off.worker", "--package", str(HERE / "cut_off"), "--no-services"),
    *(item for name in ("orchestrator", "steps", "durable") for item in ("--package", str(ROOT / name))),
)
#: A job that nobody has picked up acts 15 s after it was recorded.
WAIT_S = 60.0


def test_recorded_but_never_queued_jobs_run_after_a_kill(tmp_path: Path) -> None:
    with LocalStack(tmp_path, arguments=ARGUMENTS) as stack:
        with stack.client() as client:
            single = client.post("/v1/jobs", json={"workflow": "diagnostic-echo", "payload": {"steps": 3}})
            items = [{"workflow": "diagnostic-echo", "payload": {"steps": number}} for number in range(20)]
            batch = client.post("/v1/jobs/batch", json={"items": items})
        stack.kill_workerd()
        assert (single.status_code, batch.status_code) == (202, 202)
        ids = [single.json()["id"], *(item["id"] for item in batch.json()["results"])]
        stack.wait_ready()
        with stack.client() as client:
            assert {view(client, job_id)["status"] for job_id in ids} <= {"queued", "running", "completed"}
            wait_until(lambda: all(view(client, job_id)["finished_at"] for job_id in ids), timeout_s=WAIT_S)
            jobs = [view(client, job_id) for job_id in ids]
    assert [job["status"] for job in jobs] == ["completed"] * 21
    assert [job["result"] for job in jobs[1:]] == [
        {"steps": number, "total": number * (number + 1) // 2} for number in range(20)
    ]


def view(client: httpx.Client, job_id: str) -> dict[str, object]:
    return client.get(f"/v1/jobs/{job_id}").raise_for_status().json()
