"""Random programs under random faults: they lead where the oracle says, and what does not is told in few lines."""

from __future__ import annotations

import collections
import json
import subprocess
import sys
import warnings
from collections.abc import Iterator

import pytest

from orchestrator import attempt
from orchestrator.model import StepRow
from orchestrator.testing.plan import KINDS
from tests.simulation.explore import case_of, play
from tests.simulation.program import every_op, text_of
from tests.simulation.shrink import Shrinker
from tests.simulation.swarm import crash_everywhere


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "coroutine .* was never awaited")  # of objects that died
        yield


def test_a_hundred_seeds_hold() -> None:
    """A sample of what `make simulate` runs by the thousand."""
    kinds: collections.Counter[str] = collections.Counter()
    for seed in range(100_000, 100_120):
        run = play(case_of(seed))
        assert run.problem is None, f"make simulate SEED={seed}"
        kinds.update(fault.kind for fault in run.struck)
    assert len(kinds) > len(KINDS) * 0.7


@pytest.mark.parametrize("seed", [13, 37, 54])
def test_a_program_may_stop_before_any_write(seed: int) -> None:
    runs = list(crash_everywhere(case_of(seed)))
    assert len(runs) > 20
    assert [run.problem for run in runs if run.problem is not None] == []


def test_a_number_is_a_case_and_a_case_is_a_story() -> None:
    assert case_of(7) == case_of(7) != case_of(8)
    first, second = play(case_of(7)), play(case_of(7))
    assert (first.struck, first.took_ms, first.writes) == (second.struck, second.took_ms, second.writes)


def test_a_bug_is_found_and_told_in_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that fails is blamed for deaths that were not its own: a bug that was, put back."""

    def unblamed(row: StepRow) -> StepRow:
        return row

    monkeypatch.setattr(attempt, "unblamed", unblamed)
    case = case_of(186)
    run = play(case)
    assert run.problem is not None
    shrinker = Shrinker(case, run)
    small = shrinker.shrink()
    assert len(list(every_op(small.program.job.body))) <= 3
    assert len(shrinker.run.struck) <= 9
    assert len(text_of(small.program).splitlines()) <= 9


def test_the_command_reports_what_it_did() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--seeds", "12", "--crashed", "1", "--jobs", "1", "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    report = json.loads(done.stdout)
    assert (report["seeds"], report["failures"]) == (12, {})
    assert report["runs"] > 12
