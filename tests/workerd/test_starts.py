"""Several launchers of one folder start at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local import bundle
from local.bundle import ROOT


def test_archives_are_built_by_one_launcher_at_a_time(tmp_path: Path) -> None:
    for name in ("worker-packages", "stdlib", "bytecode"):
        (tmp_path / "build" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "build" / name).symlink_to(ROOT / "build" / name)
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    package = tmp_path / "package"
    package.mkdir()
    (package / "data.txt").write_text("not seen before")
    with ThreadPoolExecutor(4) as pool:
        builds = [pool.submit(bundle.build, tmp_path, [package]) for _ in range(4)]
        found = [build.result() for build in builds]
    assert len(set(found)) == 1
    assert all(path.is_file() for path in (found[0].stdlib, found[0].library, found[0].files))
