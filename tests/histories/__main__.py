"""Records the histories of this release: ``python -m tests.histories``, once before it is published."""

from __future__ import annotations

import tomllib

from local.bundle import ROOT
from tests.histories.recording import HERE, MOMENTS, record


def main() -> None:
    """Write one file per moment into a folder named after the release; files that exist are left alone."""
    release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    folder = HERE / release
    folder.mkdir(exist_ok=True)
    for name in MOMENTS:
        path = folder / f"{name}.sql"
        if not path.exists():
            path.write_text(record(name))


if __name__ == "__main__":
    main()
