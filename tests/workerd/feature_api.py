"""The API of a stack that has the workflows of `features` beside the product's own."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec

from local.bundle import ROOT
from local.process import LocalStack
from orchestrator.client.answers import TERMINAL, Accepted, Job, Steps

HERE = Path(__file__).parent
ARGUMENTS = (
    *("--main", "features.worker", "--package", str(HERE / "features"), "--no-services"),
    *(item for name in ("orchestrator", "steps", "durable") for item in ("--package", str(ROOT / name))),
)
WAIT_S = 30.0


class Api:
    """The API of a running stack."""

    def __init__(self, stack: LocalStack, client: httpx.Client) -> None:
        self.stack = stack
        self.client = client

    def start(self, workflow: str, payload: Mapping[str, object], **options: object) -> str:
        body = {"workflow": workflow, "payload": payload, "options": {"mode": "direct", **options}}
        answer = self.client.post("/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        return msgspec.json.decode(answer.content, type=Accepted).id

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
        return {step.key: step.status for step in msgspec.json.decode(answer.content, type=Steps).steps}

    def until(self, job_id: str, statuses: frozenset[str] = TERMINAL) -> Job:
        deadline = time.monotonic() + WAIT_S
        while (found := self.job(job_id)).status not in statuses:
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found


@contextmanager
def running(folder: Path) -> Generator[Api]:
    """Run such a stack for the length of the block."""
    with LocalStack(folder, arguments=ARGUMENTS) as stack, stack.client() as client:
        yield Api(stack, client)
