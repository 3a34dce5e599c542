"""Many ingestions at once: no message is lost, and nothing happens twice."""

from __future__ import annotations

from pathlib import Path

from tests.workerd.ingestions import Size, play


def test_every_one_of_many_ingestions_completes(tmp_path: Path) -> None:
    played = play(Size(ingest_jobs=20), tmp_path)
    assert played.most_at_once > 1
