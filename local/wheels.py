"""Install the Worker's packages: pure wheels and WebAssembly wheels, by their locked hashes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: The tags of wheels that run on Pyodide 314 (Python 3.14).
PLATFORM = (
    "--only-binary=:all:",
    "--python-version=314",
    "--implementation=cp",
    "--abi=cp314",
    "--abi=abi3",
    "--abi=none",
    "--platform=pyemscripten_2026_0_wasm32",
    "--platform=any",
)


def install(lock: Path, target: Path) -> None:
    """Download the locked wheels and unpack them into ``target``.

    Raises:
        subprocess.CalledProcessError: a download failed; pip has printed the reason.
    """
    downloads = target.with_name(f"{target.name}-wheels")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--require-hashes", "--requirement", str(lock), "--dest", str(downloads)]
    subprocess.run([*pip, *PLATFORM, *options], check=True)
    shutil.rmtree(target, ignore_errors=True)
    for wheel in sorted(downloads.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(target)
    shutil.rmtree(downloads)


if __name__ == "__main__":
    install(ROOT / "requirements-worker.lock", ROOT / "build" / "worker-packages")
