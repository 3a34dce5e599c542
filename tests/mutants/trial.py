"""Runs tests against changed sources, in a process of their own, and judges what came of it."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Literal

import hypothesis
import msgspec
import pytest

from tests.mutants.mutant import ROOT, Mutant
from tests.mutants.overlay import Overlay

#: Tests that run in this process on CPython, quick ones first: where a fault is looked for that the expected tests let
#: pass. What needs the real Worker is not among them: it is a process that imports what is on the disk.
WIDE = (
    "tests/engine", "tests/lanes", "tests/schedules/test_engine.py", "tests/schedules/test_crashes.py",
    "tests/schedules/test_round.py", "tests/catalog/test_catalog.py", "tests/catalog/test_recovery.py",
    "tests/catalog/test_shards.py", "tests/catalog/test_sweeper.py", "tests/catalog/test_tallies.py",
    "tests/http/test_consumer.py", "tests/http/test_enqueue.py", "tests/http/test_idempotency.py",
    "tests/http/test_control.py", "tests/simulation", "tests/platform", "tests/ingestion", "tests/webhooks",
)  # fmt: skip
#: Trials that take longer turn without end: of the expected tests, and of all others.
LIMIT_S, WIDE_LIMIT_S = 120, 1_200
#: Failures of the mutant's own text, and not of what it is to break.
_INVALID = (SyntaxError, ImportError, NameError, AttributeError)
#: Imported before any trial begins, and nothing that a mutant could change: a trial is a fork.
_WARM = ["pytest", "pydantic", "msgspec", "httpx", "asyncpg", "fastapi", "rich.console", "cronsim"]

Verdict = Literal["caught", "survived", "invalid", "unended"]


class Outcome(msgspec.Struct, kw_only=True):
    """What a trial came to. Caught means: a test came to another end than it expected.

    Attributes:
        verdict: whether a test noticed.
        by: the test that noticed.
        why: what it said.
        took_s: how long that took.
        expected: whether it is one of those that were expected to notice.
    """

    verdict: Verdict
    by: str = ""
    why: str = ""
    took_s: float = 0.0
    expected: bool = True


def try_out(mutant: Mutant, *, wide: bool = True) -> Outcome:
    """Run the tests that are expected to notice a fault, and many others when these do not."""
    began_s = time.monotonic()
    sources = mutant.sources()
    outcome = run(sources, mutant.catchers)
    if outcome.verdict == "survived" and wide:
        outcome = run(sources, WIDE, limit_s=WIDE_LIMIT_S)
        outcome.expected = False
    outcome.took_s = round(time.monotonic() - began_s, 2)
    return outcome


def run(sources: Mapping[str, str], tests: Sequence[str], *, limit_s: float = LIMIT_S) -> Outcome:
    """Run tests until the first fails, in a process of their own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_WARM)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_play, args=(theirs, dict(sources), list(tests)))
    process.start()
    theirs.close()
    try:
        return ours.recv() if ours.poll(limit_s) else Outcome(verdict="unended", why=f"no end within {limit_s} s")
    except EOFError:
        return Outcome(verdict="invalid", why="the process died")
    finally:
        process.kill()
        process.join()


class _Observer:
    """Remembers the first test that failed."""

    def __init__(self) -> None:
        self.outcome = Outcome(verdict="survived")
        self.ran = 0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        self.ran += call.when == "call"
        if report.failed and call.excinfo is not None and self.outcome.verdict == "survived":
            valid = call.when == "call" and not isinstance(call.excinfo.value, _INVALID)
            lines = call.excinfo.exconly(tryshort=True).strip().splitlines()
            why = " ".join(line.strip() for line in lines[:3])[:300]
            self.outcome = Outcome(verdict="caught" if valid else "invalid", by=item.nodeid, why=why)
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.outcome = Outcome(verdict="invalid", by=report.nodeid, why=report.longreprtext[-300:])


def _play(connection: Connection, sources: dict[str, str], tests: list[str]) -> None:
    os.chdir(ROOT)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    # The first example that fails is enough.
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("trial", phases=phases, derandomize=True)
    hypothesis.settings.load_profile("trial")
    overlay, observer = Overlay(sources), _Observer()
    overlay.install()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = scratch
        options = ["-x", "-p", "no:cacheprovider", f"--basetemp={scratch}/pytest"]
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # plugins among what is warm
        code = pytest.main([*options, *tests], plugins=[observer])
    outcome = observer.outcome
    if outcome.verdict == "survived" and (code != pytest.ExitCode.OK or not observer.ran or overlay.missing):
        why = f"pytest ended with {code!r} after {observer.ran} tests; not imported: {sorted(overlay.missing)}"
        outcome = Outcome(verdict="invalid", why=why)
    connection.send(outcome)
    connection.close()
