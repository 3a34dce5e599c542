"""Scenarios that run on the simulator and on real workerd, so that the first cannot drift from the second."""

from __future__ import annotations

from tests.conformance import alarm_scenarios, object_scenarios, queue_scenarios
from tests.conformance.platform import SCENARIOS

__all__ = ["SCENARIOS", "alarm_scenarios", "object_scenarios", "queue_scenarios"]
