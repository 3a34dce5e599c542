from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local.process import LocalStack

PROBE = Path(__file__).parent / "probe"
#: Starts the runtime's own test Worker instead of the real one.
PROBE_ARGUMENTS = ("--config", str(PROBE / "wrangler.toml"), "--main", "probe.worker", "--package", str(PROBE))


@pytest.fixture(scope="session")
def probe_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack with the test Worker and every service."""
    with LocalStack(tmp_path_factory.mktemp("probe"), arguments=PROBE_ARGUMENTS) as running:
        yield running


@pytest.fixture
def probe(probe_stack: LocalStack) -> Iterator[httpx.Client]:
    """A client of the test Worker."""
    with probe_stack.client() as client:
        yield client
