"""The pg8000 adapter inside workerd, where jobs share one interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local.process import LocalStack
from tests.database.worker_probe.scenarios import SCENARIOS

PROBE = Path(__file__).parent / "worker_probe"
ROOT = PROBE.parents[2]
PACKAGES = [PROBE, *(ROOT / name for name in ("orchestrator", "steps", "durable"))]
ARGUMENTS = [
    *("--config", str(PROBE / "wrangler.toml"), "--main", "worker_probe.worker"),
    *(argument for package in PACKAGES for argument in ("--package", str(package))),
]


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        LocalStack(tmp_path_factory.mktemp("database-probe"), arguments=ARGUMENTS) as stack,
        stack.client() as client,
    ):
        client.timeout = httpx.Timeout(90)
        yield client


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_in_the_worker(probe: httpx.Client, scenario: str) -> None:
    assert probe.get(f"/{scenario}").text == "passed"


def test_jobs_do_not_disturb_each_other(probe: httpx.Client) -> None:
    """Scenarios without locks, three of each at the same time in one interpreter."""
    names = ["values_round_trip", "tasks_share_a_connection", "a_lost_connection_is_replaced", "megabytes_go_both_ways"]
    assert set(probe.get("/" + "+".join(names * 3)).text.splitlines()) == {"passed"}
