"""Stage what a deployment uploads: the three packages, and the main module at their root.

wrangler attaches every Python file below the main module's folder, tests and virtual environments included, so
the main module gets a folder of its own. ``wrangler.toml`` runs this as its build command.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path, PurePath

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("orchestrator", "steps", "durable")
MAIN = Path("durable/worker.py")
#: What only CPython runs: the clients, the command line, the test world.
LEFT_OUT = ("orchestrator/client", "orchestrator/cli", "orchestrator/testing")


def is_uploaded(relative: PurePath) -> bool:
    """Tell whether a file of the packages, named from the project's folder, belongs to the Worker."""
    return not any(relative.is_relative_to(folder) for folder in LEFT_OUT)


def sources(root: Path) -> Iterator[Path]:
    """Yield the Worker's Python files, named from ``root``, in a fixed order."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            relative = path.relative_to(root)
            if is_uploaded(relative):
                yield relative


def stage(root: Path, target: Path) -> None:
    """Copy the packages' Python files into ``target``, replacing what was there.

    The main module moves to the top, where wrangler looks for it; it therefore uses absolute imports only.
    """
    shutil.rmtree(target, ignore_errors=True)
    for relative in sources(root):
        destination = target / (relative.name if relative == MAIN else relative)
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / relative, destination)


if __name__ == "__main__":
    stage(ROOT, ROOT / "build" / "worker")
