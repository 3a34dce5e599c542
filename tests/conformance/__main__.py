"""``python -m tests.conformance``: every scenario on real workerd, also those that take minutes, as a table."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.conformance import SCENARIOS
from tests.conformance.platform_probe.sql_scenarios import SQL_SCENARIOS
from tests.conformance.real import run_real


def main() -> int:
    """Run them; return the process's exit code."""
    scenarios = list(SCENARIOS.values())
    with tempfile.TemporaryDirectory() as directory:
        outcomes = run_real(Path(directory), scenarios, list(SQL_SCENARIOS))
    cites = {scenario.name: scenario.cites for scenario in scenarios}
    for name, error in outcomes.items():
        print(f"{'passed' if error is None else 'FAILED':8}{name:72}{cites.get(name, '§1.1, §1.2')}")
        if error is not None:
            print(f"        {type(error).__name__}: {error}")
    return 0 if not any(outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
