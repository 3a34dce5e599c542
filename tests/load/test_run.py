"""A small load test on the real workerd; `make load` is the large one."""

from __future__ import annotations

from pathlib import Path

from local.load.__main__ import run
from local.load.plan import plan


def test_none_of_many_jobs_is_lost_or_doubled(tmp_path: Path) -> None:
    wish = plan(together=20, burst=60, fail_every=10, seed=3)
    report = run(wish, 180, tmp_path / "state")
    assert report.faults == []
    assert (report.completed, report.failed, report.dead_letters, report.dead_messages) == (74, 6, 6, 5)
    assert report.most_at_once >= 20
