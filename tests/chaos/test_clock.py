"""The Worker's clock stands still during CPU work, as it does when deployed (platform.md §1.6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.bundle import ROOT
from local.process import LocalStack
from tests.workerd.run import MAIN, Ingestion
from tests.workerd.scene import Scene

PROBE = (
    *("--config", str(ROOT / "tests" / "local" / "probe" / "wrangler.toml"), "--main", "clock.worker"),
    *("--package", str(Path(__file__).parent / "clock")),
    "--no-services",
)


@pytest.mark.parametrize("frozen", [True, False])
def test_what_moves_the_clock(tmp_path: Path, frozen: bool) -> None:
    with LocalStack(tmp_path, arguments=(*PROBE, *["--frozen-clock"] * frozen)) as stack, stack.client() as client:
        found = client.get("/").json()
    assert found["by_work"] == [not frozen] * 3
    assert found["by_waiting"] == [True] * 3


def test_an_ingestion_under_a_frozen_clock(scene: Scene, tmp_path: Path) -> None:
    """No budget of the engine's relies on a clock that moves by itself."""
    with LocalStack(tmp_path, arguments=("--frozen-clock",)) as stack, Ingestion(stack) as ingestion:
        scene.start(ingestion)
        scene.finish(ingestion)
        assert sum(job.crashes for job in ingestion.family(MAIN)) == 0
