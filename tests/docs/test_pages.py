"""Every example of the documentation runs, and generated pages are up to date."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from local import api_page, cli_page, lifecycle_page
from orchestrator.testing import World
from orchestrator.workflow import Workflow

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = re.compile(r"^<!-- run: (\S+) (\{.*?\})(?: (\w+)=(\{.*?\}))? => (.+) -->$", re.MULTILINE)
PROOF = re.compile(r"`(tests/[^`:]+)(?:::(\w+))?`")
LINK = re.compile(r"\]\(([^)#:]+)\)")
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def workflows_of(page: Path) -> dict[str, Workflow]:
    """Run a page's Python as one module, and return the workflows it defines."""
    namespace: dict[str, object] = {"__name__": f"page_{page.stem}"}
    source = "from __future__ import annotations\n" + "\n".join(BLOCK.findall(page.read_text()))
    exec(compile(source, str(page), "exec"), namespace)
    return {item.name: item for item in namespace.values() if isinstance(item, Workflow)}


def examples(page: Path) -> list[tuple[str, str, str, str, str]]:
    return RUN.findall(page.read_text())


@pytest.mark.parametrize("always_replay", [False, True])
@pytest.mark.parametrize(("name_of_page", "count"), [("writing-workflows", 19), ("lanes", 2)])
def test_every_example_gives_what_the_page_says(name_of_page: str, count: int, always_replay: bool) -> None:
    page = ROOT / "docs" / f"{name_of_page}.md"
    found = workflows_of(page)
    runs = examples(page)
    assert len(runs) == count
    for name, payload, event, data, expected in runs:
        world = World(*found.values(), always_replay=always_replay)
        job_id = world.start(name, json.loads(payload))
        if event:
            world.call(job_id, lambda engine, e=event, d=data: engine.deliver_event(e, None, json.loads(d)))  # type: ignore[misc]
        asyncio.run(world.run())
        assert (name, world.view(job_id).result) == (name, json.loads(expected))


def test_the_readmes_workflow_runs(capsys: pytest.CaptureFixture[str]) -> None:
    found = workflows_of(ROOT / "README.md")
    world = World(*found.values())
    job_id = world.start("monthly-report", {"customers": 1_000})
    asyncio.run(world.run())
    assert world.view(job_id).result == f"{job_id}: 499500"
    assert "charge:0 30" in capsys.readouterr().out


def test_the_lifecycle_page_is_the_engines_own_table() -> None:
    assert lifecycle_page.PAGE.read_text() == lifecycle_page.page()


def test_the_command_reference_is_the_command_lines_own() -> None:
    assert cli_page.PAGE.read_text() == cli_page.page()


def test_the_api_page_is_the_documents() -> None:
    assert api_page.PAGE.read_text() == api_page.page(), "the API has changed: run `python -m local.api_page`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []


def test_parity_lists_every_weakness_scenario_and_vector_once_and_each_has_its_test() -> None:
    text = (ROOT / "docs" / "parity.md").read_text()
    weaknesses = re.findall(r"^\| (W-\d\d) \|.*\| (.+) \|$", text, re.MULTILINE)
    assert [name for name, _ in weaknesses] == [f"W-{number:02}" for number in range(1, 36)]
    scenarios = re.findall(r"^\| (\d+)\. .*\| (.+) \|$", text, re.MULTILINE)
    assert [int(number) for number, _ in scenarios] == list(range(1, 13))
    vectors = re.findall(r"^\| (.+?) \| (.+) \|$", text.partition("## Vectors")[2].partition("\n## ")[0], re.MULTILINE)[
        1:
    ]
    assert len(vectors) == 7
    assert [name for name, proof in [*weaknesses, *scenarios, *vectors] if not PROOF.search(proof)] == []


@pytest.mark.parametrize(("name_of_page", "at_least"), [("feature-matrix", 40), ("parity", 80)])
def test_pages_name_tests_that_exist(name_of_page: str, at_least: int) -> None:
    proofs = PROOF.findall((ROOT / "docs" / f"{name_of_page}.md").read_text())
    assert len(proofs) >= at_least
    for path, name in proofs:
        assert (ROOT / path).exists(), path
        assert not name or f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"
