"""Rules of the code base that would otherwise be prose (design.md §3)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import orchestrator
from local.stage import LEFT_OUT

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("orchestrator", "steps", "durable", "local", "bench")
#: The modules that may touch JavaScript.
JAVASCRIPT = {f"durable/bridge{part}.py" for part in ("", "_calls", "_sockets", "_timers")}
#: Where others' signatures say `Any`: JavaScript's side, the SDK's handlers, ASGI messages.
UNTYPED = JAVASCRIPT | {"durable/job_object.py", "durable/worker.py", "durable/http/asgi.py", "durable/http/openapi.py"}
#: Parts of `orchestrator/` that run beside the engine and never in the Worker (local/stage.py leaves them out): they
#: have a clock, randomness and an environment, and the engine must not know them.
BESIDE_THE_ENGINE = frozenset({"client", "cli", "testing"})
#: Name savepoints by their depth, and triggers by their index, which no parameter can.
NAMING = {"durable/sql_session.py", "orchestrator/testing/row_costs.py"}
MAX_MODULE_LINES = 420
MAX_FUNCTION_LINES = 60


def modules(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield each imported module and whether the import is at the top of the module."""
    tree = ast.parse(path.read_text())
    top = set(tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node in top
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module, node in top


def engine_modules() -> list[Path]:
    paths = modules("orchestrator")
    return [path for path in paths if path.relative_to(ROOT / "orchestrator").parts[0] not in BESIDE_THE_ENGINE]


def imported_packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name, _ in imports(path)}


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("orchestrator", {"steps", "durable", "local", "js", "pyodide", "workers", "asyncpg", "pg8000", "fastapi"}),
        ("steps", {"durable", "local", "js", "pyodide", "workers", "asyncpg", "pg8000"}),
        ("durable", {"local", "bench"}),
        ("local", {"js"}),
    ],
)
def test_packages_depend_in_one_direction(package: str, forbidden: set[str]) -> None:
    found = {name_of(path): sorted(imported_packages(path) & forbidden) for path in modules(package)}
    assert {name: names for name, names in found.items() if names} == {}


def test_the_bridge_alone_touches_javascript() -> None:
    found = {
        name_of(path)
        for path in modules("orchestrator", "steps", "durable")
        if imported_packages(path) & {"js", "pyodide"}
    }
    assert found <= JAVASCRIPT


def test_any_is_used_where_others_signatures_say_it_and_nowhere_else() -> None:
    found = {
        name_of(path)
        for path in modules("orchestrator", "steps", "durable")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name) and node.id == "Any"
    }
    assert found <= UNTYPED


def test_the_engine_reads_no_clock_entropy_or_environment() -> None:
    forbidden = {"time", "random", "uuid", "secrets", "os"}
    found = {name_of(path): sorted(imported_packages(path) & forbidden) for path in engine_modules()}
    assert {name: names for name, names in found.items() if names} == {}


def test_the_engine_knows_nothing_of_what_runs_beside_it() -> None:
    beside = tuple(f"orchestrator.{name}" for name in BESIDE_THE_ENGINE)
    paths = [*engine_modules(), *modules("steps", "durable")]
    found = {name_of(path): [name for name, _ in imports(path) if name.startswith(beside)] for path in paths}
    assert {name: names for name, names in found.items() if names} == {}
    assert {f"orchestrator/{name}" for name in BESIDE_THE_ENGINE} == set(LEFT_OUT)


def test_asyncpg_is_imported_when_it_is_used() -> None:
    """The local Worker has no asyncpg: importing it at the top would stop every import of the adapter."""
    at_top = [
        name_of(path)
        for path in modules("durable")
        for name, top in imports(path)
        if top and name.startswith("asyncpg")
    ]
    assert at_top == []


def test_modules_and_functions_fit_the_eye() -> None:
    long: dict[str, int] = {}
    for path in modules(*PACKAGES):
        text = path.read_text()
        lines = text.count("\n")
        if lines > MAX_MODULE_LINES:
            long[name_of(path)] = lines
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1 - _docstring_lines(node)
                if length > MAX_FUNCTION_LINES:
                    long[f"{name_of(path)}:{node.name}"] = length
    assert long == {}


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return (first.end_lineno or first.lineno) - first.lineno + 1
    return 0


def test_public_names_are_sorted_and_exist() -> None:
    names = [name for name in orchestrator.__all__ if name != "NO_RETRY"]
    assert sorted(names) == names
    assert all(hasattr(orchestrator, name) for name in orchestrator.__all__)


def test_sql_is_constant_text() -> None:
    """No f-string and no concatenation reaches execute, fetch or fetchrow."""
    found: list[str] = []
    for path in modules("orchestrator", "steps", "durable"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                built = isinstance(node.args[0], ast.JoinedStr | ast.BinOp)
                if node.func.attr in {"execute", "fetch", "fetchrow"} and built and name_of(path) not in NAMING:
                    found.append(f"{name_of(path)}:{node.lineno}")
    assert found == []


def test_the_project_speaks_of_itself_alone() -> None:
    """No path of a developer's machine and no registry's host name in anything that is committed."""
    words = ("/work/" + "main", "pypi" + ".org", "files.python" + "hosted", "registry.npm" + "js")
    kinds = {".py", ".md", ".toml", ".json", ".lock", ".mjs", ".sql", ".yml"}
    skipped = {"node_modules", ".venv", "build", ".git", ".state", "__pycache__"}
    found = [
        name_of(path)
        for path in ROOT.rglob("*")
        if path.suffix in kinds and path.is_file() and not skipped & set(path.relative_to(ROOT).parts)
        if any(word in path.read_text(errors="replace") for word in words)
    ]
    assert found == []
