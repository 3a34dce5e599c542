"""A deliberate fault of the sources, kept as a patch: what it does, what it breaks, and which test is to notice.

A patch is a unified diff below a short header, and its line numbers count for nothing: the lines that it takes out,
with those around them, must be in the file exactly once. So a patch holds as long as the code that it breaks does,
wherever that moves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
PATCHES = Path(__file__).parent
_HEADERS = ("Fault", "Breaks", "Caught-by")


class PatchError(ValueError):
    """A patch that is malformed, or that the sources have left behind."""


class Hunk(msgspec.Struct):
    """Some lines, and what they become."""

    old: str = ""
    new: str = ""


class Change(msgspec.Struct):
    """What becomes of one file."""

    path: str
    hunks: list[Hunk] = []


class Mutant(msgspec.Struct):
    """A deliberate fault.

    Attributes:
        name: of its patch.
        fault: what it does.
        breaks: the promise that no longer holds.
        catchers: the tests that are expected to notice, by pytest's ids.
        changes: of the sources.
    """

    name: str
    fault: str
    breaks: str
    catchers: tuple[str, ...]
    changes: list[Change] = []

    def sources(self, read: Callable[[str], str] = lambda path: (ROOT / path).read_text()) -> Mapping[str, str]:
        """Return the changed files' new text, by path.

        Raises:
            PatchError: a hunk's lines are nowhere, or more than once, or it changes nothing.
        """
        found: dict[str, str] = {}
        for change in self.changes:
            text = "\n" + read(change.path)
            for hunk in change.hunks:
                places = text.count("\n" + hunk.old)
                if places != 1 or hunk.old == hunk.new:
                    raise PatchError(f"{self.name}: found {places} times in {change.path}:\n{hunk.old}")
                text = text.replace("\n" + hunk.old, "\n" + hunk.new)
            found[change.path] = text[1:]
        return found


def every_mutant() -> list[Mutant]:
    """Return all mutants, by name."""
    return [parse(path.stem, path.read_text()) for path in sorted(PATCHES.glob("*.patch"))]


def parse(name: str, text: str) -> Mutant:
    """Read a patch.

    Raises:
        PatchError: its header lacks something, or it changes nothing.
    """
    head, _, diff = text.partition("\n--- ")
    headers: dict[str, list[str]] = {header: [] for header in _HEADERS}
    latest: list[str] = []
    for line in head.splitlines():
        if line.startswith(" ") and latest:
            latest[-1] += line
            continue
        key, _, value = line.partition(": ")
        if line.strip():
            if key not in headers:
                raise PatchError(f"{name}: {line!r} is no line of a header")
            latest = headers[key]
            latest.append(value)
    if not all(headers.values()) or not diff:
        raise PatchError(f"{name}: a patch says {', '.join(_HEADERS)}, and changes something")
    fault, breaks = (" ".join(headers[header]) for header in _HEADERS[:2])
    return Mutant(name, fault, breaks, tuple(headers["Caught-by"]), _changes("--- " + diff))


def _changes(diff: str) -> list[Change]:
    changes: list[Change] = []
    hunks: list[Hunk] = []
    for line in diff.splitlines():
        if line.startswith("+++ b/"):
            changes.append(Change(line.removeprefix("+++ b/")))
            hunks = changes[-1].hunks
        elif line.startswith("@@"):
            hunks.append(Hunk())
        elif not line.startswith("--- a/"):
            if line[:1] != "+":
                hunks[-1].old += line[1:] + "\n"
            if line[:1] != "-":
                hunks[-1].new += line[1:] + "\n"
    return changes
