"""Imports of changed sources: what is on the disk stays as it is, so nothing is left behind and trials do not meet."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from types import ModuleType

from tests.mutants.mutant import ROOT


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, source: bytes) -> None:
        super().__init__(name, path)
        self._source = source

    def get_data(self, path: str) -> bytes:  # type: ignore[override]
        return self._source

    def path_stats(self, path: str) -> Mapping[str, float]:  # type: ignore[override]
        raise OSError(path)  # compiled code of the file would be that of the unchanged source


class Overlay(MetaPathFinder):
    """Finds changed modules before anybody else does.

    Args:
        sources: the changed files' text, by path.
    """

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = {_module(path): (path, text.encode()) for path, text in sources.items()}
        #: Modules that were imported.
        self.imported: set[str] = set()

    @property
    def missing(self) -> set[str]:
        """Modules that nobody has imported, so that nothing of them was tried."""
        return self._sources.keys() - self.imported

    def install(self) -> None:
        """Change what is imported from now on."""
        sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """See :class:`importlib.abc.MetaPathFinder`."""
        found = self._sources.get(fullname)
        if found is None:
            return None
        self.imported.add(fullname)
        where = str(ROOT / found[0])
        return spec_from_file_location(fullname, where, loader=_Loader(fullname, where, found[1]))


def _module(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")
