"""Every object store behaves the same: the one that tests use, and R2 inside workerd."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local.process import LocalStack
from orchestrator.testing.blobs import MemoryBlobs
from tests.blobs.blob_probe.scenarios import SCENARIOS

PROBE = Path(__file__).parent / "blob_probe"
PACKAGES = [PROBE, *(PROBE.parents[2] / name for name in ("orchestrator", "steps", "durable"))]
ARGUMENTS = [
    *("--no-services", "--config", str(PROBE / "wrangler.toml"), "--main", "blob_probe.worker"),
    *(argument for package in PACKAGES for argument in ("--package", str(package))),
]


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with LocalStack(tmp_path_factory.mktemp("blobs"), arguments=ARGUMENTS) as stack, stack.client() as client:
        client.timeout = httpx.Timeout(90)
        yield client


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_in_memory(scenario: str) -> None:
    asyncio.run(SCENARIOS[scenario](MemoryBlobs()))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_in_the_worker(probe: httpx.Client, scenario: str) -> None:
    assert probe.get(f"/{scenario}").text == "passed"
