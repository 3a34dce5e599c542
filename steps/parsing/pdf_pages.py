"""The PDF library, taught to open large files lazily and to find one page without visiting the others."""

from __future__ import annotations

import logging
from typing import IO, NamedTuple, cast

from pypdf import PageObject, PdfReader
from pypdf.errors import LimitReachedError, PdfReadError
from pypdf.generic import ArrayObject, DictionaryObject, IndirectObject, NameObject, PdfObject, StreamObject

from steps.parsing.limits import (
    PDF_CACHE_BYTES,
    PDF_OBJECTS_MAX,
    PDF_RESOLVED_OBJECTS_MAX,
    PDF_RESOLVED_STREAM_BYTES_MAX,
)
from steps.parsing.pdf_file import BlockFile

_INHERITED = (NameObject("/Resources"), NameObject("/MediaBox"), NameObject("/CropBox"), NameObject("/Rotate"))
#: Page trees are balanced by those who write them; the library's own bound is 100.
_TREE_DEPTH_MAX = 100


class PageTreeError(Exception):
    """The page tree's counts contradict its contents."""


class _Node(NamedTuple):
    node: DictionaryObject
    reference: IndirectObject | None


class LazyReader(PdfReader):
    """A reader that visits only the objects it is asked for.

    After reading the cross-reference table, the library checks every entry by visiting the object, which reads the
    whole file. For files that do not fit the cache this is left out, as in the library's strict mode; an entry that
    points to a wrong place then shows when it is used.

    Args:
        file: the document.
        size_bytes: its size.
    """

    def __init__(self, file: BlockFile, size_bytes: int) -> None:
        self._is_large = size_bytes > PDF_CACHE_BYTES
        # The library warns of every defect that it repairs; a Worker's log is no place for that.
        logging.getLogger("pypdf").setLevel(logging.ERROR)
        super().__init__(cast(IO[bytes], file), xref_stream_maximum_entries=PDF_OBJECTS_MAX)
        self.strict = False

    def _read_xref_tables_and_trailers(self, stream: IO[bytes], startxref: int | None, xref_issue_nr: int) -> None:
        super()._read_xref_tables_and_trailers(stream, startxref, xref_issue_nr)
        self.strict = self._is_large

    def _read_standard_xref_table__handle_size(self, stream: IO[bytes]) -> int | None:
        size = super()._read_standard_xref_table__handle_size(stream)
        if size is not None and size > PDF_OBJECTS_MAX:
            raise LimitReachedError(f"The cross-reference table has {size} entries.")
        return size

    def resume(self) -> None:
        """Make the reader usable after an operation was abandoned because of a missing block."""
        self._known_objects.clear()

    def forget(self) -> None:
        """Drop parsed objects when they take too much memory; they are parsed again on demand."""
        objects = self.resolved_objects
        streams = sum(_stream_bytes(value) for value in objects.values())
        if len(objects) > PDF_RESOLVED_OBJECTS_MAX or streams > PDF_RESOLVED_STREAM_BYTES_MAX:
            objects.clear()

    def count_pages(self) -> int:
        """Return the number of pages that the tree's root declares, after checking the first and the last page.

        Raises:
            PageTreeError: the declaration is wrong.
        """
        count = self._tree().get("/Count")
        if not isinstance(count, int) or count < 0:
            raise PageTreeError
        if count:
            self.find_page(0)
            self.find_page(count - 1)
        return int(count)

    def find_page(self, index: int) -> PageObject:
        """Return a page by the counts in the page tree, visiting only the nodes above it.

        Args:
            index: 0-based.

        Raises:
            PageTreeError: the counts are wrong.
        """
        node = self._tree()
        inherited: dict[NameObject, PdfObject] = {}
        for _ in range(_TREE_DEPTH_MAX):
            for name in _INHERITED:
                if name in node:
                    inherited[name] = node[name]
            kid, index = _descend(node, index)
            node = kid.node
            if "/Kids" not in node:
                if index:
                    raise PageTreeError
                return self._make_page(kid, inherited)
        raise PageTreeError

    def _tree(self) -> DictionaryObject:
        tree = self.root_object.get("/Pages")
        tree = tree.get_object() if tree is not None else None
        if not isinstance(tree, DictionaryObject):
            raise PdfReadError("the page tree is missing")
        return tree

    def _make_page(self, kid: _Node, inherited: dict[NameObject, PdfObject]) -> PageObject:
        page = PageObject(self, kid.reference)
        if kid.reference is None:
            page.update(kid.node)
        for name, value in inherited.items():
            if name not in page:
                page[name] = value
        return page


def _descend(node: DictionaryObject, index: int) -> tuple[_Node, int]:
    """Return the kid that holds the page, and the page's index below it."""
    kids = node.get("/Kids")
    kids = kids.get_object() if kids is not None else None
    if not isinstance(kids, ArrayObject):
        raise PageTreeError
    if len(kids) == node.get("/Count"):
        # As many kids as pages: every kid is a page. Some producers put thousands into one node.
        if index >= len(kids):
            raise PageTreeError
        kid = _resolve(kids[index])
        if _count(kid) != 1:
            raise PageTreeError
        return kid, 0
    nodes = [_resolve(reference) for reference in kids]
    if sum(map(_count, nodes)) != node.get("/Count"):
        raise PageTreeError
    for kid in nodes:
        count = _count(kid)
        if index < count:
            return kid, index
        index -= count
    raise PageTreeError


def _resolve(reference: PdfObject) -> _Node:
    node = reference.get_object()
    if not isinstance(node, DictionaryObject):
        raise PageTreeError
    return _Node(node, reference if isinstance(reference, IndirectObject) else None)


def _count(kid: _Node) -> int:
    if "/Kids" not in kid.node:
        return 1
    count = kid.node.get("/Count")
    if not isinstance(count, int) or count < 0:
        raise PageTreeError
    return count


def _stream_bytes(value: PdfObject | None) -> int:
    return len(value._data) if isinstance(value, StreamObject) else 0  # pyright: ignore[reportPrivateUsage]
