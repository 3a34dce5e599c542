"""Timers in the real runtime: they fire, and those that were cancelled keep no object in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.bundle import ROOT
from local.process import LocalStack
from tests.embeddings.stub_server import Reply, StubServer

HERE = Path(__file__).parent
ARGUMENTS = (
    *("--config", str(ROOT / "tests" / "local" / "probe" / "wrangler.toml"), "--main", "timers.worker"),
    *("--package", str(HERE / "timers")),
    *(item for name in ("orchestrator", "steps", "durable") for item in ("--package", str(ROOT / name))),
    "--no-services",
)


@pytest.fixture(scope="module")
def timers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with LocalStack(tmp_path_factory.mktemp("timers"), arguments=ARGUMENTS) as stack:
        yield stack


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        ("cancelled", 1),
        ("in_order", ["0", "1", "20", "40", "60"]),
        ("times_out", "TimeoutError"),
        ("fetches", ["http_timeout", 200]),
    ],
)
def test_a_timer_fires_or_is_gone(timers: LocalStack, check: str, expected: object) -> None:
    with StubServer(lambda request: Reply(hang=request.path == "/silent")) as server, timers.client() as client:
        answer = client.get("/", params={"check": check, "url": server.url})
        assert answer.json() == expected
        timers.evict("Probe", check)
