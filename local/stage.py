"""Stage what a deployment uploads: the three packages, and the main module at their root.

wrangler attaches every Python file below the main module's folder, tests and virtual environments included, so
the main module gets a folder of its own. ``wrangler.toml`` runs this as its build command.
"""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("orchestrator", "steps", "durable")
MAIN = Path("durable/worker.py")


def stage(root: Path, target: Path) -> None:
    """Copy the packages' Python files into ``target``, replacing what was there.

    The main module moves to the top, where wrangler looks for it; it therefore uses absolute imports only.
    """
    shutil.rmtree(target, ignore_errors=True)
    for package in PACKAGES:
        for source in sorted((root / package).rglob("*.py")):
            relative = source.relative_to(root)
            destination = target / (relative.name if relative == MAIN else relative)
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, destination)


if __name__ == "__main__":
    stage(ROOT, ROOT / "build" / "worker")
