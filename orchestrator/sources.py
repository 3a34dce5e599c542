"""Sources: what ``job.each`` and ``job.map_children`` walk, of any length, by a storable cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar, cast

import msgspec

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Page(msgspec.Struct, Generic[T], frozen=True):
    """What one read of a source gives."""

    items: Sequence[T]
    #: Where the next read goes on; any storable value. Ignored when ``done``.
    cursor: object
    done: bool


class PageLike(Protocol[T_co]):
    """A :class:`Page` or anything shaped like one, with more to say."""

    @property
    def items(self) -> Sequence[T_co]:
        """The items read."""
        ...

    @property
    def cursor(self) -> object:
        """Where the next read goes on."""
        ...

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        ...


class Source(Protocol[T_co]):
    """Something that can be read from any cursor it once gave, with the same outcome."""

    async def read(self, cursor: object, limit: int, /) -> PageLike[T_co]:
        """Read about ``limit`` items from ``cursor`` on; None is the start."""
        ...


class ListSource(Generic[T]):
    """A sequence in memory, rebuilt identically by each replay."""

    def __init__(self, items: Sequence[T]) -> None:
        self._items = items

    async def read(self, cursor: object, limit: int, /) -> Page[T]:
        """Return the next ``limit`` elements; the cursor is an index."""
        start = cursor if isinstance(cursor, int) else 0
        end = min(start + limit, len(self._items))
        return Page(self._items[start:end], end, end >= len(self._items))


def known_length(source: object) -> float | None:
    """Return how many items a source has, when it knows."""
    return len(cast("Sequence[object]", source)) if isinstance(source, Sequence) else None


def as_source(source: Source[T] | Sequence[T]) -> Source[T]:
    """Return ``source``, or a source that walks a sequence."""
    return ListSource(source) if isinstance(source, Sequence) else source
