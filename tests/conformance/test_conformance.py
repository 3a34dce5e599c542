"""The simulator does what real workerd does: the same scenarios, run on both (docs/testing.md)."""

from __future__ import annotations

import pytest

from tests.conformance import SCENARIOS
from tests.conformance.platform_probe.sql_scenarios import SQL_SCENARIOS
from tests.conformance.real import Outcomes, run_real
from tests.conformance.simulated import probe_sql, run_simulated

#: Where an object ends, and what it keeps, is drawn: several seeds show several ends.
SEEDS = range(6)
SHORT = [name for name, scenario in SCENARIOS.items() if not scenario.long]


@pytest.mark.parametrize("name", SCENARIOS)
def test_on_the_simulator(name: str) -> None:
    for seed in SEEDS:
        run_simulated(SCENARIOS[name], seed)


@pytest.mark.parametrize("name", SQL_SCENARIOS)
def test_sql_in_memory(name: str) -> None:
    probe_sql(SQL_SCENARIOS[name])


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """All scenarios at once: most of them only wait."""
    return run_real(tmp_path_factory.mktemp("conformance"), [SCENARIOS[name] for name in SHORT], list(SQL_SCENARIOS))


@pytest.mark.parametrize("name", [*SHORT, *SQL_SCENARIOS])
def test_on_workerd(outcomes: Outcomes, name: str) -> None:
    if (error := outcomes[name]) is not None:
        raise error
