"""``python -m tests.conformance``: every scenario on real workerd, also those that take minutes, as a table."""

from __future__ import annotations

import sys
import tempfile
import traceback
from pathlib import Path

from tests.conformance import SCENARIOS
from tests.conformance.platform_probe.sql_scenarios import SQL_SCENARIOS
from tests.conformance.real import run_real


def main() -> int:
    """Run them, or those that are named; return the process's exit code."""
    named = sys.argv[1:]
    scenarios = [scenario for scenario in SCENARIOS.values() if not named or scenario.name in named]
    sql_scenarios = [name for name in SQL_SCENARIOS if not named or name in named]
    with tempfile.TemporaryDirectory() as directory:
        outcomes = run_real(Path(directory), scenarios, sql_scenarios)
    cites = {scenario.name: scenario.cites for scenario in scenarios}
    for name, error in outcomes.items():
        print(f"{'passed' if error is None else 'FAILED':8}{name:72}{cites.get(name, '§1.1, §1.2')}")
        if error is not None:
            traceback.print_exception(error)
    return 0 if not any(outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
