"""What the launcher is asked to start, and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from local.bundle import ROOT

PACKAGES = tuple(ROOT / name for name in ("orchestrator", "steps", "durable"))


@dataclass(frozen=True)
class Options:
    """What to start, and where."""

    port: int
    state: Path
    config: Path = ROOT / "wrangler.toml"
    main: str = "durable.worker"
    packages: tuple[Path, ...] = PACKAGES
    services: bool = True
    #: The Worker reaches Postgres through this loopback port: a test's proxy, which drops connections.
    database_port: int | None = None
    #: The Worker's clock stands still during CPU work, as when deployed (platform.md §1.6).
    frozen_clock: bool = False
    #: The Worker begins again when its sources change.
    reload: bool = False
