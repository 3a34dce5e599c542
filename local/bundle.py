"""Build the archives that the local Worker boots from.

Three archives, all with bytecode, since compiling Python in WebAssembly at every start would cost seconds:

- ``stdlib.zip``: the standard library, without sources;
- ``library.zip``: pure third-party packages, without sources, imported from the archive itself;
- ``files.zip``: what has to lie on the file system: packages with extension modules, and our own packages with
  their sources, which tracebacks show.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import subprocess
import zipfile
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from local.stage import is_uploaded

ROOT = Path(__file__).resolve().parent.parent
#: Part of every bytecode file's name, so that another interpreter release never meets old bytecode.
MAGIC = "cpython-314"
#: What `importlib.metadata` is asked for at run time; the rest of a ``.dist-info`` folder is left out.
METADATA_FILES = frozenset({"METADATA", "entry_points.txt"})
#: Standard library packages that need an operating system's screen, or that only developers use.
STDLIB_LEFT_OUT = ("pydoc_data/", "turtledemo/", "idlelib/", "lib2to3/", "ensurepip/", "test/", "tkinter/")
IGNORED_FOLDERS = frozenset({"__pycache__", "tests", "bin"})


class BundleError(Exception):
    """The archives could not be built."""


@dataclass(frozen=True)
class Bundle:
    """Paths of the finished archives."""

    stdlib: Path
    library: Path
    files: Path

    def stamp(self) -> str:
        """Return what changes with any input, and with nothing else."""
        return "".join(_stamp_file(path).read_text() for path in (self.stdlib, self.library, self.files))


@dataclass(frozen=True)
class Tree:
    """Python files to put into an archive."""

    root: Path
    names: tuple[str, ...]
    shown_root: str


def build(root: Path, packages: Iterable[Path]) -> Bundle:
    """Bring the archives up to date and return them; nothing is done when no input changed.

    Args:
        root: the project's folder; holds ``build/`` and ``node_modules/``.
        packages: our own package folders to include.

    Raises:
        BundleError: a source does not compile, or the installation is incomplete.
    """
    target = root / "build" / "runtime"
    target.mkdir(parents=True, exist_ok=True)
    with _alone(target / "lock"):
        return _build(root, target, packages)


@contextlib.contextmanager
def _alone(path: Path) -> Generator[None]:
    """Let one launcher at a time build: two of a folder may start together."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(root: Path, target: Path, packages: Iterable[Path]) -> Bundle:
    wheels = root / "build" / "worker-packages"
    standard = _unpack_standard_library(root)
    if not wheels.is_dir() or not standard.is_dir():
        raise BundleError("the Worker's packages are not installed: run `make install`")
    packages = list(packages)
    bundle = Bundle(target / "stdlib.zip", target / "library.zip", target / f"files-{_key(packages)}.zip")
    native, pure = _split(wheels)
    _write(root, bundle.stdlib, [_tree(standard, None, "/lib/python314.zip")], with_sources=False)
    _write(root, bundle.library, [_tree(wheels, pure, "/lib/library.zip")], with_sources=False)
    site = "/lib/python3.14/site-packages"
    ours = [Tree(path.parent, tuple(filter(_is_ours, _python_files(path.parent, path))), site) for path in packages]
    _write(root, bundle.files, [_tree(wheels, native, site), *ours], with_sources=True)
    return bundle


def _key(packages: list[Path]) -> str:
    """Name a set of packages: stacks with other packages may start at the same moment."""
    return hashlib.sha256("\0".join(map(str, packages)).encode()).hexdigest()[:12]


def _unpack_standard_library(root: Path) -> Path:
    source = root / "node_modules" / "pyodide" / "python_stdlib.zip"
    target = root / "build" / "stdlib"
    if target.is_dir() or not source.is_file():
        return target
    partial = target.with_suffix(".partial")
    with zipfile.ZipFile(source) as archive:
        archive.extractall(partial, [name for name in archive.namelist() if not name.startswith(STDLIB_LEFT_OUT)])
    return partial.rename(target)


def _split(wheels: Path) -> tuple[list[str], list[str]]:
    """Separate the top-level names that hold extension modules from the others."""
    native: list[str] = []
    pure: list[str] = []
    for entry in sorted(wheels.iterdir()):
        is_native = entry.is_dir() and any(entry.rglob("*.so"))
        if entry.name not in IGNORED_FOLDERS:
            (native if is_native else pure).append(entry.name)
    return native, pure


def _tree(root: Path, top_level: list[str] | None, shown_root: str) -> Tree:
    entries = sorted(root.iterdir()) if top_level is None else [root / name for name in top_level]
    names: list[str] = []
    for entry in entries:
        names.extend(_python_files(root, entry))
    return Tree(root, tuple(names), shown_root)


def _is_ours(name: str) -> bool:
    return is_uploaded(PurePath(name))


def _python_files(root: Path, entry: Path) -> Iterator[str]:
    """Yield the relative names of the files to include, in a fixed order."""
    if entry.is_file():
        yield entry.relative_to(root).as_posix()
        return
    for path in sorted(entry.rglob("*")):
        relative = path.relative_to(root)
        if not path.is_file() or IGNORED_FOLDERS.intersection(relative.parts):
            continue
        if relative.parts[0].endswith(".dist-info") and path.name not in METADATA_FILES:
            continue
        if path.suffix not in (".pyi", ".pyc", ".typed"):
            yield relative.as_posix()


def _write(root: Path, target: Path, trees: list[Tree], *, with_sources: bool) -> None:
    digests = {(tree, name): _digest(tree, name) for tree in trees for name in tree.names}
    stamp = hashlib.sha256("".join(digests.values()).encode()).hexdigest()
    stamp_file = _stamp_file(target)
    if target.is_file() and stamp_file.is_file() and stamp_file.read_text() == stamp:
        return
    cache = root / "build" / "bytecode"
    cache.mkdir(parents=True, exist_ok=True)
    bytecode = {key: cache / f"{digest}.{MAGIC}.pyc" for key, digest in digests.items() if key[1].endswith(".py")}
    _compile(root, {key: path for key, path in bytecode.items() if not path.is_file()})
    partial = target.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for tree, name in digests:
            compiled = bytecode.get((tree, name))
            if compiled is None or with_sources:
                _add(archive, name, (tree.root / name).read_bytes())
            if compiled is not None:
                _add(archive, _bytecode_name(name, beside_source=with_sources), compiled.read_bytes())
    partial.rename(target)
    stamp_file.write_text(stamp)


def _stamp_file(archive: Path) -> Path:
    return archive.with_suffix(".stamp")


def _digest(tree: Tree, name: str) -> str:
    content = hashlib.sha256(f"{tree.shown_root}/{name}\0".encode())
    content.update((tree.root / name).read_bytes())
    return content.hexdigest()


def _bytecode_name(name: str, *, beside_source: bool) -> str:
    if not beside_source:
        return f"{name}c"
    folder, _, module = name.rpartition("/")
    cached = f"__pycache__/{module.removesuffix('.py')}.{MAGIC}.pyc"
    return f"{folder}/{cached}" if folder else cached


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    # A fixed time of change: the same inputs give the same archive.
    archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content)


def _compile(root: Path, missing: dict[tuple[Tree, str], Path]) -> None:
    if not missing:
        return
    jobs = [
        {"source": str(tree.root / name), "shown": f"{tree.shown_root}/{name}", "target": str(target)}
        for (tree, name), target in missing.items()
    ]
    done = subprocess.run(
        [str(root / ".venv" / "bin" / "node"), str(root / "local" / "compile.mjs")],
        input=json.dumps({"jobs": jobs}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BundleError(_told(done.stdout, done.stderr))


def _told(answer: str, log: str) -> str:
    """Return what the compiler says of the sources, each with its file and line."""
    try:
        return "\n".join(json.loads(answer)["errors"])
    except (ValueError, KeyError):
        return f"Python sources could not be compiled:\n{log.strip()[-2_000:]}"


if __name__ == "__main__":
    build(ROOT, [ROOT / name for name in ("orchestrator", "steps", "durable")])
