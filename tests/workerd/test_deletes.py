"""An organization is deleted while it is being filled; the vector store fails now and then, and workerd is killed."""

from __future__ import annotations

from pathlib import Path

from tests.workerd.deletion import Size, play


def test_an_organization_goes_whole_and_alone(tmp_path: Path) -> None:
    played = play(Size(namespaces=2, ingest_jobs=3, documents=5, kills=2, failures=1), tmp_path)
    assert played.kills == 2
    assert played.crashes > 0
    assert played.store_failures > 0
