"""The examples of docs/clients.md run, and its tables are complete."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import cast

import httpx
import pytest

from orchestrator.client import Client, blocking, nonblocking, triggers
from tests.clients.support import URL, InProcess
from tests.clients.test_typescript import run
from tests.http.support import KEY, Api

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "clients.md").read_text()
BLOCK = re.compile(r"^<!-- name: (\w+) -->\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def examples(api: Api, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the page's Python defines, with the API in this process behind it."""
    blocking_client, awaited_client = httpx.Client, httpx.AsyncClient

    def connect(**_: object) -> httpx.Client:
        return blocking_client(transport=InProcess(api))

    def connect_awaited(**_: object) -> httpx.AsyncClient:
        return awaited_client(transport=InProcess(api))

    monkeypatch.setattr(blocking.httpx, "Client", connect)
    monkeypatch.setattr(nonblocking.httpx, "AsyncClient", connect_awaited)
    for name, value in (
        ("USE_CLOUDFLARE_QUEUES", "true"),
        ("QUEUE_PRODUCER_URL", URL),
        ("ORCHESTRATOR_URL", URL),
        ("ORCHESTRATOR_API_KEY", KEY),
    ):
        monkeypatch.setenv(name, value)
    found: dict[str, object] = {"__name__": "page"}
    blocks = BLOCK.findall(PAGE)
    assert [name for name, _ in blocks] == ["switch", "blocking", "awaited"]
    for _, source in blocks:
        exec(compile("from __future__ import annotations\n" + source, "docs/clients.md", "exec"), found)
    return found


def test_the_examples_do_what_they_say(
    examples: dict[str, object], api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    ingest = cast("Callable[[str, str, str], str]", examples["ingest"])
    job_id = ingest("j", "o", "pro")
    assert [(item.job_id, item.payload) for item in api.backend.requests] == [
        (job_id, {"jobId": "j", "organizationId": "o"})
    ]
    report = cast("Callable[[int], object]", examples["report"])
    assert report(3) == {"steps": 3, "total": 6}
    assert "job.completed" in capsys.readouterr().out
    many = cast("Callable[[int], Coroutine[None, None, list[object]]]", examples["many"])
    assert asyncio.run(many(2)) == [{"steps": 1, "total": 1}, {"steps": 2, "total": 3}]


def test_every_function_and_method_is_in_the_tables() -> None:
    functions = [f"`{name}(" for name in dir(triggers) if name.startswith("trigger_") and name != "trigger_dev_body"]
    methods = [f"`{name}`" for name in dir(Client) if type(vars(Client).get(name)).__name__ in {"call", "stream"}]
    not_told = {"`health`", "`get_schedule`", "`get_lane`"}
    assert [name for name in [*functions, *methods] if name not in PAGE and name not in not_told] == []


def test_the_typescript_of_the_page_compiles(tmp_path: Path) -> None:
    """As a module of its own, against the client's sources."""
    blocks = re.findall(r"^```typescript\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    source = (ROOT / "clients" / "typescript" / "src" / "index.ts").as_posix()
    declared = (
        "declare const jobId: string, organizationId: string, plan: string, console: { log(...of: unknown[]): void };\n"
    )
    for number, block in enumerate(blocks):
        text = block.replace('"durable-orchestrator-client"', f'"{source}"') + "export {};\n"
        (tmp_path / f"page{number}.ts").write_text(declared + text)
    config = {
        "compilerOptions": {
            "noEmit": True,
            "strict": True,
            "module": "esnext",
            "moduleResolution": "bundler",
            "target": "es2022",
            "lib": ["es2023", "dom", "dom.iterable"],
            "types": [],
            "allowImportingTsExtensions": True,
        },
        "include": ["*.ts"],
    }
    (tmp_path / "tsconfig.json").write_text(json.dumps(config))
    run(ROOT / ".venv" / "bin" / "node", ROOT / "node_modules" / "typescript" / "bin" / "tsc", "-p", tmp_path)
