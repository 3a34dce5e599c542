"""What the interpreter holds of jobs that have ended: nothing."""

from __future__ import annotations

from pathlib import Path

import httpx
import msgspec

from local.bundle import ROOT
from local.process import LocalStack, wait_until

HERE = Path(__file__).parent
ARGUMENTS = (
    *("--main", "memory.worker", "--package", str(HERE / "memory"), "--no-services"),
    *(item for name in ("orchestrator", "steps", "durable") for item in ("--package", str(ROOT / name))),
)
JOBS = 10
BODY = {"workflow": "diagnostic-echo", "payload": {"steps": 4, "sleep_ms": 20}, "options": {"mode": "direct"}}


class _Job(msgspec.Struct, frozen=True):
    id: str
    status: str


def test_an_object_is_not_held_by_having_been_called(tmp_path: Path) -> None:
    """Pyodide's cache of signatures held the last 128 objects whose alarm had fired, evicted or not."""
    with LocalStack(tmp_path, arguments=ARGUMENTS) as stack, stack.client() as client:
        for _ in range(JOBS):
            job = msgspec.json.decode(client.post("/v1/jobs", json=BODY).content, type=_Job)
            wait_until(lambda job_id=job.id: _status(client, job_id) == "completed", timeout_s=60)
        wait_until(lambda: client.get("/held").text == "0", timeout_s=5)


def _status(client: httpx.Client, job_id: str) -> str:
    return msgspec.json.decode(client.get(f"/v1/jobs/{job_id}").content, type=_Job).status
