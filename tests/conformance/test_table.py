"""The page about testing names a scenario for everything that is modelled, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.testing.plan import KINDS
from tests.blobs.blob_probe.scenarios import SCENARIOS as BLOB_SCENARIOS
from tests.conformance import SCENARIOS
from tests.conformance.platform_probe.sql_scenarios import SQL_SCENARIOS
from tests.conformance.test_database import SCENARIOS as DATABASE_SCENARIOS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text()
SECTION = PAGE[PAGE.index("## What holds the fakes to the truth") :]
ROWS = [line.split("|")[1:-1] for line in SECTION.splitlines() if line.startswith("| ")]
#: Modules of ``orchestrator.testing`` that claim nothing of the platform: they put models together, or are an author's.
NO_MODELS = {
    *("__init__.py", "catalog.py", "client.py", "effects.py", "faults.py", "histories.py", "plan.py", "play.py"),
    *("plugin.py", "simulate.py", "simulation.py", "watch.py", "world.py", "world_job.py", "world_lane.py"),
    "world_resources.py",
}


def named(cells: list[str]) -> list[str]:
    return re.findall(r"`([a-z_.]+)`", " ".join(cells))


def test_every_fault_is_shown_or_said_to_be_of_production_only() -> None:
    found = [name for row in ROWS for name in named(row[:1]) if name in KINDS]
    assert sorted(found) == sorted(KINDS), "each once"


def test_every_scenario_is_named_once_and_exists() -> None:
    known = [*SCENARIOS, *SQL_SCENARIOS, *BLOB_SCENARIOS, *DATABASE_SCENARIOS]
    of_scenarios = [name for row in ROWS for name in named(row[1:2])]
    assert sorted(of_scenarios) == sorted(known)


def test_every_model_has_its_row() -> None:
    models = {path.name for path in (ROOT / "orchestrator" / "testing").glob("*.py")} - NO_MODELS
    found = {name for row in ROWS for name in named(row[:1]) if name.endswith(".py")}
    assert found == models


def test_every_scenario_says_where_the_platform_says_so() -> None:
    assert all(
        re.fullmatch(r"(§\d+(\.\d+)?|design\.md §[\d.]+)(, (§\d+(\.\d+)?|design\.md §[\d.]+))*", scenario.cites)
        for scenario in SCENARIOS.values()
    )
