"""The page about testing: its tests run, the one that is to fail does, and every fault is explained."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import cast

import pytest

from orchestrator.testing.plan import KINDS
from orchestrator.testing.plugin import Simulate
from tests.docs.test_pages import BLOCK, ROOT

PAGE = (ROOT / "docs" / "testing.md").read_text()
NAMES = re.findall(r"^def (test_\w+)\(simulate\):(.*)$", PAGE, re.MULTILINE)
PageTest = Callable[[Simulate], None]


@pytest.fixture(scope="module")
def page() -> dict[str, object]:
    namespace: dict[str, object] = {"__name__": "page_testing"}
    source = "from __future__ import annotations\n" + "\n".join(BLOCK.findall(PAGE))
    exec(compile(source, "docs/testing.md", "exec"), namespace)
    return namespace


@pytest.mark.parametrize("name", [name for name, note in NAMES if not note])
def test_the_pages_tests_pass(page: dict[str, object], simulate: Simulate, name: str) -> None:
    cast("PageTest", page[name])(simulate)


def test_the_subtle_bug_is_found_as_the_page_shows(page: dict[str, object], simulate: Simulate) -> None:
    [failing] = [name for name, note in NAMES if "fails" in note]
    with pytest.raises(AssertionError) as caught:
        cast("PageTest", page[failing])(simulate)
    shown = re.search(r"^```\n(stopped before .*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert shown is not None
    said = _unnumbered(str(caught.value))
    assert _unnumbered(shown[1]) <= said


def _unnumbered(text: str) -> set[str]:
    """Return the lines without writes and times, which change with the engine."""
    return {re.sub(r"write \d+ of \d+|[\d.]+ s ", "", line).strip() for line in text.splitlines()}


def test_every_fault_is_explained_once() -> None:
    table = PAGE[PAGE.index("## What is simulated") :]
    found = [kind for kind in re.findall(r"`([a-z_]+)`", table) if kind in KINDS]
    assert sorted(set(found)) == sorted(KINDS)
