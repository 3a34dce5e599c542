"""The TypeScript client: its types are the API's, it compiles, and its own tests pass under Node's runner."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.process import LocalStack
from tests.clients.trigger_dev import SECRET_KEY, TriggerDev

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "clients" / "typescript"
NODE = ROOT / ".venv" / "bin" / "node"


def run(*command: object, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def node_tests(folder: Path, **env: str) -> str:
    files = sorted(folder.glob("*.test.mjs"))
    assert files
    return run(NODE, "--test", *files, env=env)


@pytest.fixture(scope="session")
def built() -> Path:
    """The client, compiled."""
    run(NODE, ROOT / "node_modules" / "typescript" / "bin" / "tsc", "-p", CLIENT)
    return CLIENT


def test_the_types_are_those_of_the_api(tmp_path: Path) -> None:
    """`make types` writes them anew."""
    document = tmp_path / "openapi.json"
    document.write_text(run(sys.executable, "-m", "local.openapi"))
    made = tmp_path / "schema.ts"
    program = ROOT / "node_modules" / "openapi-typescript" / "bin" / "cli.js"
    run(NODE, program, document, "--default-non-nullable=false", "--output", made)
    assert made.read_text() == (CLIENT / "src" / "schema.ts").read_text(), "the API has changed: run `make types`"


def test_its_own_tests_pass(built: Path, trigger_dev: TriggerDev) -> None:
    node_tests(built / "test", STUB_URL=trigger_dev.url, STUB_KEY=SECRET_KEY)


def test_it_takes_jobs_to_their_end_on_the_real_stack(built: Path, stack: LocalStack) -> None:
    node_tests(
        built / "test" / "stack",
        USE_CLOUDFLARE_QUEUES="true",
        QUEUE_PRODUCER_URL=stack.url,
        ORCHESTRATOR_URL=stack.url,
        ORCHESTRATOR_API_KEY=stack.api_key,
    )


def test_what_is_published_depends_on_what_is_locked() -> None:
    package = json.loads((CLIENT / "package.json").read_text())
    locked = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    assert package["dependencies"].items() <= locked.items()
