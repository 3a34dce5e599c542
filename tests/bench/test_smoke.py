"""The bench's program, small."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from local.bundle import ROOT


class Row(msgspec.Struct):
    part: str
    name: str
    unit: str
    value: float
    met: bool | None


class Report(msgspec.Struct):
    rows: list[Row]
    left_out: dict[str, str]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_it_prints_a_table() -> None:
    done = bench("--quick", "--only", "a,c,d")
    assert done.returncode == 0, done.stderr
    for expected in ("engine: a step of a 1,000-step job", "floor: bare Python object", "last tenth", "met"):
        assert expected in done.stdout


def test_it_prints_json() -> None:
    done = bench("--quick", "--only", "d", "--json")
    assert done.returncode == 0, done.stderr
    report = msgspec.json.decode(done.stdout, type=Report)
    assert {row.part for row in report.rows} == {"d"}
    # A difference in per cent may be of either sign.
    assert all(row.value > 0 for row in report.rows if row.unit != "%")
    # Rows and bytes are budgets; times are not asserted.
    budgets = {row.name: row.met for row in report.rows if "rows" in row.name or "database" in row.name}
    assert set(budgets.values()) == {True}
    assert report.left_out == {}


@pytest.mark.parametrize("parts", ["x", "a,", ""])
def test_unknown_parts_are_refused(parts: str) -> None:
    done = bench(f"--only={parts}")
    assert done.returncode == 2
    assert "no such part" in done.stderr
