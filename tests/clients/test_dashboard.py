"""The dashboard: who may ask it, that it passes calls on, and the pure part of its page."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local.process import LocalStack, wait_until
from orchestrator.cli.dashboard.server import TOKEN_HEADER, Dashboard
from orchestrator.client.settings import Target
from orchestrator.lifecycle import JobStatus, StepStatus

ROOT = Path(__file__).resolve().parents[2]
NODE = ROOT / ".venv" / "bin" / "node"
PAGE = ROOT / "orchestrator" / "cli" / "dashboard" / "page"
TOKEN = "the token"


@pytest.fixture(scope="module")
def page(stack: LocalStack) -> Iterator[httpx.Client]:
    with Dashboard(Target(stack.url, stack.api_key), 0, TOKEN) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            with httpx.Client(base_url=url, headers={TOKEN_HEADER: TOKEN}) as client:
                yield client
        finally:
            server.shutdown()
            thread.join()


def test_the_page_and_what_it_loads(page: httpx.Client) -> None:
    html = page.get("/").raise_for_status()
    assert "default-src 'self'" in html.headers["content-security-policy"]
    loaded = re.findall(r'(?:src|href)="(/[^"]+)"', html.text)
    loaded += re.findall(r'from "\.(/[^"]+)"', page.get("/app.js").text)
    assert sorted(loaded) == ["/app.js", "/style.css", "/timeline.js"]
    for path in loaded:
        assert page.get(path).raise_for_status().text


def test_a_job_as_the_page_asks_for_it(page: httpx.Client) -> None:
    body = {"workflow": "diagnostic-echo", "payload": {"steps": 3}, "options": {"delay": 3_600, "tags": ["shown"]}}
    job_id = page.post("/v1/jobs", json=body).raise_for_status().json()["id"]
    wait_until(lambda: page.get("/v1/jobs?tag=shown").json()["jobs"] != [], timeout_s=30)
    assert page.post(f"/v1/jobs/{job_id}/cancel", json={}).raise_for_status().json()["status"] == "cancelled"
    assert page.get(f"/v1/jobs/{job_id}").json()["status"] == "cancelled"
    assert page.get(f"/v1/jobs/{job_id}/steps").json() == {"steps": []}
    assert page.get("/v1/jobs/nonsense").json()["code"] == "unknown_job"


@pytest.mark.parametrize("token", [None, "", "the toke", "the tokens", "ümlaut"])
def test_nobody_else_may_ask(page: httpx.Client, token: str | None) -> None:
    with httpx.Client(base_url=page.base_url) as stranger:
        headers = httpx.Headers([] if token is None else [(TOKEN_HEADER.encode(), token.encode())])
        for answer in (stranger.get("/v1/jobs", headers=headers), stranger.post("/v1/jobs", headers=headers, json={})):
            assert (answer.status_code, answer.json()["code"]) == (403, "foreign_page")


@pytest.mark.parametrize("path", ["/nothing", "/../server.py", "/%2e%2e/server.py", "/healthz", "//v1/jobs"])
def test_nothing_else_is_served(page: httpx.Client, path: str) -> None:
    assert page.get(path).status_code == 404


def test_a_large_body_is_refused(page: httpx.Client) -> None:
    assert page.post("/v1/jobs", content=b" " * 100_001).json()["code"] == "payload_too_large"


def test_a_server_that_is_away_is_said_to_be() -> None:
    with Dashboard(Target("http://127.0.0.1:1", "key"), 0, TOKEN) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/v1/jobs"
            answer = httpx.get(url, headers={TOKEN_HEADER: TOKEN})
            assert (answer.status_code, answer.json()["code"]) == (502, "unreachable")
        finally:
            server.shutdown()
            thread.join()


def test_a_port_that_is_taken(stack: LocalStack) -> None:
    port = stack.url.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "orchestrator.cli", "dashboard", "--no-open", "--port", port]
    command += ["--url", stack.url, "--api-key", stack.api_key]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert f"Port {port} cannot be listened on" in done.stderr


LAYOUT = """
import { duration, layout, moment, tone } from "PAGE/timeline.js";
const job = { created_at: "2026-01-01T00:00:00Z", started_at: "2026-01-01T00:00:10Z", finished_at: null };
const step = (key, status, from, to, more) => ({
  key, kind: "step", status, attempt: 1, started_at: `2026-01-01T00:00:${from}Z`,
  finished_at: to && `2026-01-01T00:00:${to}Z`, error: null, counters: null, ...more,
});
const steps = [
  step("a", "completed", 10, 15),
  step("b", "retrying", 15, null, { attempt: 3, error: { code: "late", message: "too late" } }),
];
console.log(JSON.stringify({
  now: layout(job, steps, Date.parse("2026-01-01T00:00:20Z")),
  last: layout(job, steps, Date.parse("2026-01-01T00:00:20Z"), 1),
  durations: [0, 999, 1500, 60000, 61000, 3600000, 90061000].map(duration),
  moments: [1, 2].map((day) => moment(new Date(2026, 0, day, 10), new Date(2026, 0, 2, 11)).length),
  tones: ["completed", "running", "waiting", "failed", "unheard of"].map(tone),
}));
"""


def test_where_steps_lie_in_time() -> None:
    script = LAYOUT.replace("PAGE", PAGE.as_uri())
    done = subprocess.run([NODE, "--input-type=module", "--eval", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    first, second = found["now"]["rows"]
    assert (first["begin"], first["width"], first["took"], first["tone"]) == (0, 50, "5.0 s", "good")
    assert (second["begin"], second["width"], second["took"], second["tone"]) == (50, 50, "5.0 s", "rest")
    assert second["note"] == "attempt 3, late: too late"
    assert [row["key"] for row in found["last"]["rows"]] == ["b"]
    assert found["last"]["left"] == 1
    assert found["durations"] == ["0 ms", "999 ms", "1.5 s", "1 min", "1 min 1 s", "1 h", "1 d 1 h"]
    yesterday, today = found["moments"]
    assert yesterday > today + 6  # it says the day
    assert found["tones"] == ["good", "busy", "rest", "bad", "dim"]


def test_every_status_has_a_colour_and_a_place_in_the_filter() -> None:

    groups = (PAGE / "timeline.js").read_text()
    html = (PAGE / "index.html").read_text()
    assert all(f'"{status}"' in groups for status in (*JobStatus, *StepStatus))
    assert all(f"<option>{status}</option>" in html for status in JobStatus)
