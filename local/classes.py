"""Find the classes that the Worker's main module exports, without running it.

workerd must know every class and RPC method before Python runs, so the launcher reads them from the source.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ENTRYPOINT_BASE = "WorkerEntrypoint"
OBJECT_BASE = "DurableObject"


class ExportError(Exception):
    """The main module does not export what the configuration names."""


@dataclass(frozen=True)
class ExportedClass:
    """A class for workerd: ``kind`` is the SDK's base class."""

    name: str
    kind: str
    methods: tuple[str, ...]


@dataclass(frozen=True)
class _Module:
    path: Path
    classes: dict[str, ast.ClassDef]
    imports: dict[str, tuple[str, str]]


def exported(packages: Sequence[Path], main: str) -> list[ExportedClass]:
    """Return the entrypoint and Durable Object classes of the module ``main``, in order of their names.

    Args:
        packages: the package folders in which modules are looked up.
        main: the dotted name of the main module.

    Raises:
        ExportError: the main module is missing or not Python.
    """
    module = _load(packages, main)
    if module is None:
        raise ExportError(f"the Worker's main module {main} does not exist")
    found: list[ExportedClass] = []
    for name in sorted(module.classes.keys() | module.imports.keys()):
        kind, methods = _resolve(packages, main, name)
        if kind is not None and not name.startswith("_") and name not in (ENTRYPOINT_BASE, OBJECT_BASE):
            found.append(ExportedClass(name, kind, tuple(sorted(methods))))
    return found


def require(exported_classes: Sequence[ExportedClass], main: str, object_classes: Sequence[str]) -> None:
    """Check that the main module exports an entrypoint and the configured Durable Object classes.

    Raises:
        ExportError: one is missing.
    """
    kinds = {item.name: item.kind for item in exported_classes}
    if kinds.get("Default") != ENTRYPOINT_BASE:
        raise ExportError(f"{main} does not export the entrypoint class Default")
    for name in object_classes:
        if kinds.get(name) != OBJECT_BASE:
            raise ExportError(f"{main} does not export the Durable Object class {name}")


def main_module(classes: list[ExportedClass]) -> str:
    """Return the JavaScript main module that stands for these classes."""
    lines = ['import { durableObject, entrypoint } from "./host.mjs";']
    for item in classes:
        factory = "entrypoint" if item.kind == ENTRYPOINT_BASE else "durableObject"
        export = "export default" if item.name == "Default" else f"export const {item.name} ="
        methods = ", ".join(f'"{method}"' for method in item.methods)
        lines.append(f'{export} {factory}("{item.name}", [{methods}]);')
    return "\n".join(lines) + "\n"


def _load(packages: Sequence[Path], module: str) -> _Module | None:
    top, *rest = module.split(".")
    folder = next((item for item in packages if item.name == top), None)
    if folder is None:
        return None
    stem = folder.joinpath(*rest)
    path = next((item for item in (stem / "__init__.py", stem.with_suffix(".py")) if item.is_file()), None)
    if path is None:
        return None
    try:
        tree = ast.parse(path.read_text(), str(path))
    except SyntaxError as error:
        raise ExportError(f"{path}: {error}") from error
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    classes: dict[str, ast.ClassDef] = {}
    imports: dict[str, tuple[str, str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            classes[node.name] = node
            imports.pop(node.name, None)  # the later one counts
        elif isinstance(node, ast.ImportFrom):
            source = _absolute(package, node)
            for alias in node.names:
                names = _names(packages, source) if alias.name == "*" else [alias.name]
                imports.update({alias.asname or name: (source, name) for name in names})
    return _Module(path, classes, imports)


def _names(packages: Sequence[Path], module_name: str) -> list[str]:
    """Return what ``import *`` takes from a module, and perhaps more."""
    module = _load(packages, module_name)
    return [] if module is None else [name for name in module.classes | module.imports if not name.startswith("_")]


def _absolute(package: str, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    parts = package.split(".")
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def _resolve(packages: Sequence[Path], module_name: str, name: str) -> tuple[str | None, set[str]]:
    """Return the SDK base class that ``name`` derives from, and its public methods, inherited ones included."""
    if module_name == "workers":
        return (name if name in (ENTRYPOINT_BASE, OBJECT_BASE) else None), set()
    module = _load(packages, module_name)
    if module is None:
        return None, set()
    if name in module.imports:
        return _resolve(packages, *module.imports[name])
    node = module.classes.get(name)
    if node is None:
        return None, set()
    kind: str | None = None
    methods = {
        item.name
        for item in node.body
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and _is_public_method(item)
    }
    for base in node.bases:
        if isinstance(base, ast.Name):
            base_kind, inherited = _resolve(packages, module_name, base.id)
            kind = kind or base_kind
            methods |= inherited
    return kind, methods


def _is_public_method(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    if node.name.startswith("_"):
        return False
    return not any(isinstance(item, ast.Name) for item in node.decorator_list)
