"""Verified fakes for workflow tests: a deterministic world with virtual time and faults."""

from __future__ import annotations

from orchestrator.testing.sql import MemorySql
from orchestrator.testing.world import Crash, World

__all__ = ["Crash", "MemorySql", "World"]
