"""The workflows and schedules of this Worker: every module of ``steps`` is looked through, no list is edited."""

from __future__ import annotations

from functools import cache

import steps
from orchestrator.schedule import Schedule, discover_schedules
from orchestrator.workflow import Registry, discover


@cache
def registry() -> Registry:
    """Return the workflows, found once per isolate."""
    return discover(steps)


@cache
def schedules() -> tuple[Schedule, ...]:
    """Return the schedules that the code declares, found once per isolate."""
    return discover_schedules(steps)
