"""What somebody who watches `make dev` sees, and when files count as changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from local import sources
from local.logs import readable
from local.sources import Sources


def test_lines_for_people() -> None:
    line = {"time": "2026-11-27T04:49:17.155Z", "level": "info", "source": "worker", "job_id": "run_1"}
    assert (
        readable({**line, "workflow": "report", "event": "job.created"}).plain == "04:49:17  job.created  run_1  report"
    )
    counted = {**line, "event": "job.failed", "level": "warning", "crashes": 0, "error": "no_disk", "parent": None}
    assert readable(counted).plain == "04:49:17  job.failed  run_1  crashes=0  error=no_disk"
    trace = {**line, "job_id": None, "event": "python_boot_failed", "error": "Traceback:\n  1 / 0\n"}
    assert readable(trace).plain == "04:49:17  python_boot_failed\nTraceback:\n  1 / 0"
    assert readable({"message": "printed by a step"}).plain == "  printed by a step"


def test_a_change_counts_once_when_it_has_come_to_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "INTERVAL_S", 0)
    monkeypatch.setattr(sources, "SETTLE_S", 0)
    (tmp_path / "__pycache__").mkdir()
    watched = Sources(tmp_path)

    async def goes_on() -> None:
        waiting = asyncio.create_task(watched.changed())
        for _ in range(3):
            await asyncio.sleep(0)
        (tmp_path / "__pycache__" / "a.pyc").touch()
        for _ in range(3):
            await asyncio.sleep(0)
        assert not waiting.done()
        (tmp_path / "a.py").write_text("1")
        await waiting
        again = asyncio.create_task(watched.changed())
        (tmp_path / "a.py").unlink()
        await again

    asyncio.run(asyncio.wait_for(goes_on(), 10))
