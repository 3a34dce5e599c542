"""Check, without an account or a network, what a deployment would upload."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from local.stage import MAIN, ROOT, sources


class UploadError(Exception):
    """The upload would not be what it should be."""


def dry_run(root: Path, target: Path) -> set[str]:
    """Let wrangler write the upload to ``target``; return the names of its modules.

    Raises:
        UploadError: wrangler refuses the configuration or the code; carries what it said.
    """
    wrangler = [str(root / ".venv" / "bin" / "node"), str(root / "node_modules" / "wrangler" / "bin" / "wrangler.js")]
    done = subprocess.run(
        [*wrangler, "deploy", "--dry-run", "--outdir", str(target)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise UploadError(f"wrangler deploy --dry-run failed:\n{done.stdout}{done.stderr}")
    written = (path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    return set(written) - {"README.md"}


def expected(root: Path) -> set[str]:
    """Return the Worker's modules, the main module moved to the top."""
    return {source.name if source == MAIN else source.as_posix() for source in sources(root)}


def main() -> int:
    """Compare the two; return the process's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            uploaded = dry_run(ROOT, Path(folder))
        except UploadError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    wanted = expected(ROOT)
    for name in sorted(uploaded ^ wanted):
        print(f"error: {name} {'must not be uploaded' if name in uploaded else 'is missing from the upload'}")
    if uploaded != wanted:
        return 1
    print(f"upload: {len(uploaded)} modules, nothing else")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
