"""Verified fakes for workflow tests: a deterministic world with virtual time and faults."""

from __future__ import annotations

from orchestrator.testing.database import MemoryDatabase
from orchestrator.testing.effects import Effects
from orchestrator.testing.simulate import SimulatedJob, simulate
from orchestrator.testing.simulation import Simulation
from orchestrator.testing.sql import MemorySql
from orchestrator.testing.world import Crash, World

__all__ = ["Crash", "Effects", "MemoryDatabase", "MemorySql", "SimulatedJob", "Simulation", "World", "simulate"]
