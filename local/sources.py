"""Watching files for changes, by looking: no kernel's notice is the same on every system and in every mount."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

#: How often the files are looked at: some 400, in about 5 ms.
INTERVAL_S = 0.5
#: Editors and version control write several files in a row: a change counts when nothing more came for so long.
SETTLE_S = 0.2
_IGNORED_FOLDERS = frozenset({"__pycache__"})


class Sources:
    """Files and folders that are watched.

    Args:
        paths: files, and folders with all that is in them.
    """

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._seen = self._look()

    async def changed(self) -> None:
        """Wait until something is no longer as it was the last time, and has come to rest."""
        while (found := self._look()) == self._seen:  # noqa: ASYNC110 - the file system tells nobody
            await asyncio.sleep(INTERVAL_S)
        while found != self._seen:
            self._seen = found
            await asyncio.sleep(SETTLE_S)
            found = self._look()

    def _look(self) -> dict[str, tuple[int, int]]:
        return {path: state for root in self._paths for path, state in _states(str(root))}


def _states(path: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield each file with its time of change and its size; what vanishes meanwhile is not there."""
    try:
        if os.path.isdir(path):
            for entry in os.scandir(path):
                if entry.name not in _IGNORED_FOLDERS:
                    yield from _states(entry.path)
        else:
            found = os.stat(path)
            yield path, (found.st_mtime_ns, found.st_size)
    except OSError:
        return
