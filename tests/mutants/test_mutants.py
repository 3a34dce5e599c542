"""The mutants are faults of today's sources, and tests notice them: a sample here, all of them in ``make mutants``."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.command import main
from tests.mutants.mutant import ROOT, Mutant, PatchError, every_mutant, parse
from tests.mutants.trial import run, try_out

MUTANTS = every_mutant()
#: Tried on each run; which ones follows from the sources, so that other changes try others.
SAMPLE = 6
#: Tests that start no database and take a moment.
QUICK = ("tests/engine/", "tests/lanes/", "tests/schedules/", "tests/catalog/", "tests/http/")

PATCH = """Fault: Two and two
 are five.
Breaks: arithmetic
Caught-by: tests/test_sum.py::test_sum

--- a/orchestrator/sum.py
+++ b/orchestrator/sum.py
@@ -90,3 +90,3 @@
 def four() -> int:
-    return 2 + 2
+    return 2 + 3

"""
SOURCE = "import this\n\n\ndef four() -> int:\n    return 2 + 2\n\n\ndef nine() -> int:\n    return 9\n"


def test_there_are_many_all_over_the_sources() -> None:
    assert len(MUTANTS) >= 80
    touched = {change.path for mutant in MUTANTS for change in mutant.changes}
    assert len(touched) >= 25
    assert {path.split("/")[0] for path in touched} == {"orchestrator", "durable", "steps"}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_a_change_of_todays_sources(mutant: Mutant) -> None:
    changed = mutant.sources()
    assert all(text != (ROOT / path).read_text() for path, text in changed.items())
    assert all((ROOT / catcher.split("::")[0]).is_file() for catcher in mutant.catchers)


def test_the_page_lists_them() -> None:
    listed = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "mutants.md").read_text(), re.MULTILINE)
    assert listed == [mutant.name for mutant in MUTANTS]


def test_a_mutant_is_a_program(tmp_path: Path) -> None:
    """A name that is not there would be noticed by any test, in the guise of a job that fails."""
    for mutant in MUTANTS:
        for path, text in mutant.sources().items():
            (tmp_path / f"{mutant.name}-{path.replace('/', '-')}").write_text(text)
    ruff = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--no-cache",
        "--select",
        "E9,F63,F7,F82",
        str(tmp_path),
    ]
    done = subprocess.run(ruff, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_a_sample_is_caught() -> None:
    quick = [mutant for mutant in MUTANTS if all(catcher.startswith(QUICK) for catcher in mutant.catchers)]
    sources = "".join(text for mutant in MUTANTS for text in mutant.sources().values())
    turn = int(hashlib.sha256(sources.encode()).hexdigest(), 16) % len(quick)
    step = len(quick) // SAMPLE
    sample = [quick[(turn + number * step) % len(quick)] for number in range(SAMPLE)]
    outcomes = {mutant.name: try_out(mutant, wide=False) for mutant in sample}
    assert {name: outcome.verdict for name, outcome in outcomes.items()} == dict.fromkeys(outcomes, "caught")


def test_a_patch_holds_wherever_its_lines_have_moved() -> None:
    mutant = parse("five", PATCH)
    assert (mutant.fault, mutant.breaks) == ("Two and two are five.", "arithmetic")
    for moved in (SOURCE, "# more\n" * 9 + SOURCE):
        assert mutant.sources(lambda path, moved=moved: moved) == {
            "orchestrator/sum.py": moved.replace("2 + 2", "2 + 3")
        }


@pytest.mark.parametrize(
    "source",
    [SOURCE.replace("2 + 2", "4"), SOURCE + SOURCE],
    ids=["the lines are gone", "the lines are there twice"],
)
def test_a_patch_that_the_sources_have_left_behind_is_refused(source: str) -> None:
    with pytest.raises(PatchError, match=r"five: found [02] times in orchestrator/sum\.py"):
        parse("five", PATCH).sources(lambda path: source)


@pytest.mark.parametrize("lacking", ["Fault: ", "Breaks: ", "Caught-by: ", "--- a/"])
def test_a_patch_without_its_header_is_refused(lacking: str) -> None:
    with pytest.raises(PatchError):
        parse("five", PATCH.replace(lacking, "# "))


@pytest.mark.parametrize(
    ("path", "old", "new", "verdict"),
    [
        ("orchestrator/retry.py", "return wait\n", "return wait + 0\n", "survived"),
        ("orchestrator/retry.py", "import DefinitionError", "import UndefinedError", "invalid"),
        ("orchestrator/retry.py", "return wait\n", "return wait)\n", "invalid"),
        ("durable/tallies.py", "return job.status", "return (job.status)", "invalid"),
    ],
    ids=["the same in other words", "an import that is not there", "no program", "not imported"],
)
def test_what_is_not_caught_is_not_called_so(path: str, old: str, new: str, verdict: str) -> None:
    changed = (ROOT / path).read_text().replace(old, new)
    catcher = "tests/engine/test_operations.py::test_retry_waits_grow_and_the_last_error_is_kept"
    assert run({path: changed}, [catcher]).verdict == verdict


def test_the_command_knows_its_mutants(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["mutants", "--only", "undo-in-order", "--narrow", "--markdown"])
    assert main() == 0
    assert "| `undo-in-order` |" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["mutants", "--only", "no such"])
    assert main() == 2
