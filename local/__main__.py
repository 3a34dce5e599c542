"""``python -m local``: the local stack in the foreground. ``PORT`` and ``STATE`` say where."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from local.bundle import BundleError
from local.classes import ExportError
from local.launcher import ROOT, run
from local.logs import LaunchError
from local.options import PACKAGES, Options
from local.state import StateInUseError


def parse(arguments: list[str] | None = None) -> Options:
    """Read the command line and the environment."""
    parser = argparse.ArgumentParser(prog="python -m local", description="Run the local stack in the foreground.")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT") or 8787))
    parser.add_argument("--state", type=Path, default=Path(os.environ.get("STATE") or ROOT / ".state"))
    parser.add_argument("--config", type=Path, default=ROOT / "wrangler.toml", help="the Worker's configuration")
    parser.add_argument("--main", default="durable.worker", help="the Worker's main module")
    parser.add_argument("--package", type=Path, action="append", help="a package to put into the Worker")
    parser.add_argument("--no-services", action="store_true", help="start neither Postgres nor embeddings")
    parser.add_argument("--database-port", type=int, help="the Worker reaches Postgres through this loopback port")
    parser.add_argument("--frozen-clock", action="store_true", help="the Worker's clock moves on I/O only")
    parser.add_argument("--reload", action="store_true", help="begin again when the Worker's sources change")
    given = parser.parse_args(arguments)
    packages = tuple(item.resolve() for item in given.package) if given.package else PACKAGES
    return Options(
        given.port,
        given.state.resolve(),
        given.config.resolve(),
        given.main,
        packages,
        services=not given.no_services,
        database_port=given.database_port,
        frozen_clock=given.frozen_clock,
        reload=given.reload,
    )


def main() -> int:
    """Run the stack; return the process's exit code."""
    try:
        asyncio.run(run(parse()))
    except (LaunchError, StateInUseError, BundleError, ExportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 0
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
