"""The workflows of this Worker: every module of ``steps`` is looked through, no list is edited."""

from __future__ import annotations

from functools import cache

import steps
from orchestrator.workflow import Registry, discover


@cache
def registry() -> Registry:
    """Return the workflows, found once per isolate."""
    return discover(steps)
