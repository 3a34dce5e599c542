"""The demo's input: the sources of Python's standard library, as they lie on this machine."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path

import msgspec

NAMESPACE_ID = "cdemonamespace00000000000"
#: At least this many documents go into the batch, none larger than this: a few tables of constants would drown them.
BATCH_DOCUMENTS = 500
BATCH_DOCUMENT_BYTES = 110_000
#: Packages of tables and windows, taken only if the others do not suffice.
LAST_CHOICE = ("encodings/", "idlelib/", "lib2to3/", "turtledemo/", "distutils/")
#: The one large document is at least this large.
LARGE_BYTES = 25_000_000


class SourceFile(msgspec.Struct, frozen=True):
    """A document of the batch."""

    name: str
    key: str
    path: Path
    size_bytes: int


class Corpus(msgspec.Struct, frozen=True):
    """What is ingested."""

    batch: tuple[SourceFile, ...]
    #: The files that the large document concatenates, in order, again from the front until it is large enough.
    large: tuple[Path, ...]
    large_bytes: int

    @property
    def large_key(self) -> str:
        """Where the large document lies in the bucket."""
        return f"namespaces/{NAMESPACE_ID}/standard-library.txt"

    @property
    def batch_bytes(self) -> int:
        """The size of the batch's documents together."""
        return sum(item.size_bytes for item in self.batch)

    def large_content(self) -> Iterator[bytes]:
        """Yield the large document, a file at a time."""
        for path in self.large:
            yield path.read_bytes()


def collect() -> Corpus:
    """Choose the documents: the library's sources, its tests aside; and one document of everything.

    Raises:
        LookupError: this Python came without enough of its standard library's sources.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    paths = sorted(path for path in root.rglob("*.py") if "site-packages" not in path.parts and _is_text(path))
    files = [_source(root, path) for path in paths if "test" not in path.parts and "tests" not in path.parts]
    small = [item for item in files if item.size_bytes <= BATCH_DOCUMENT_BYTES]
    if len(small) < BATCH_DOCUMENTS:
        raise LookupError(f"{root} has {len(small)} sources; the demo needs {BATCH_DOCUMENTS}")
    first = [item for item in small if not item.name.startswith(LAST_CHOICE)]
    rest = [item for item in small if item.name.startswith(LAST_CHOICE)]
    batch = first + rest[: max(0, BATCH_DOCUMENTS - len(first))]
    large: list[Path] = []
    size = 0
    while size < LARGE_BYTES:
        for path in paths:
            large.append(path)
            size += path.stat().st_size
            if size >= LARGE_BYTES:
                break
    return Corpus(tuple(batch), tuple(large), size)


def _source(root: Path, path: Path) -> SourceFile:
    name = path.relative_to(root).as_posix()
    key = f"namespaces/{NAMESPACE_ID}/{name.replace('/', '-')}.txt"
    return SourceFile(name=name, key=key, path=path, size_bytes=path.stat().st_size)


def _is_text(path: Path) -> bool:
    """Some of the library's tests are sources in other encodings, or none at all, on purpose."""
    data = path.read_bytes()
    try:
        return b"\x00" not in data and bool(data.decode().strip())
    except UnicodeDecodeError:
        return False
